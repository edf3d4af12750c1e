"""What may happen to a run, injected: nothing half is left, nothing finished is lost, and the next run ends alike.

Each fault has one entry here or, where it is tested beside what it hits, one in ``ELSEWHERE``. All are run with
``-m slow``, a few seeded ones always. The last test counts.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

RUN = ("run", "plan.toml", "--mlflow", "off")
AWAY = "http://127.0.0.1:9"
SEED = 45
ALWAYS = 3  # kinds of faults that each run of the suite has one of, besides two kills and one damage
KILLS = 50

FULL = """
import errno
from unveil.harness.words import disk
whole, left = disk.write, [{}]
def write(path, data):
    left[0] -= 1
    if left[0] < 0:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))
    whole(path, data)
disk.write = write
"""
FULL_AT_REPORT = FULL.replace("left[0] < 0", "'/reports/' in str(path)").format(0)
AT_CHECKPOINT = """
import signal
from unveil.harness.words.run import Run
whole, left = Run.save, [{}]
def save(run, name, state):
    left[0] -= 1
    for number in {} if not left[0] else ():
        os.kill(os.getpid(), number)
    whole(run, name, state)
Run.save = save
"""
SHORT = "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
LITTLE = """
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (1 << 30), resource.RLIM_INFINITY))
"""
CLOCK = """
import time
real, jumps = time.time, [0.0]
def jumping():
    jumps[0] = {} - jumps[0]
    return real() + jumps[0]
time.time = jumping
"""


@dataclass(frozen=True)
class Fault:
    """Something that happens while a plan is run for the first time.

    Attributes:
        kind: Which of ``KINDS`` it is.
        status: How the run ends.
        told: What it says of it; what the next run says, where this one cannot.
        before: Statements that its process executes first.
        mood: Statements of an attack, in the middle of its step.
        env: Environment of the run.
        then: What happens between this run and the next.
        next_told: What the next run says of it.
        arguments: The command.
    """

    kind: str
    status: int
    told: str
    before: str = ""
    mood: str = ""
    env: dict = field(default_factory=dict)
    then: Callable | None = None
    next_told: str = ""
    arguments: tuple = RUN


def checkpoint(harm: Callable[[Path], object]) -> Callable:
    def spoil(world):
        (file,) = world.path("store/scratch").rglob("*.pt")
        harm(file)

    return spoil


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def old_and_new(world) -> None:
    """File times from before there were files, and from far ahead."""
    for number, path in enumerate(sorted(world.path("store").rglob("*"))):
        os.utime(path, (0, 0) if number % 2 else (4e9, 4e9))


DIED = "an earlier run (pid "
STOPPED = {"status": 130, "told": "interrupted: each step is given 20 s to save a checkpoint"}
FAULTS = {
    "an attack raises": Fault("plugin raises", 1, "ValueError: broken", mood="raise ValueError('broken')"),
    "an attack ends the program": Fault("plugin raises", 1, "SystemExit", mood="raise SystemExit(0)"),
    "an attack recurses": Fault("plugin raises", 1, "RecursionError", mood="def f(): f()\nf()"),
    "an attack hangs, and somebody presses Ctrl-C twice": Fault(
        "plugin hangs", 130, "is given 20 s to save",
        mood="import signal, time\n[os.kill(os.getpid(), signal.SIGINT) for _ in '12']\ntime.sleep(600)",
    ),
    "an attack takes all memory": Fault(
        "plugin leaks memory", 1, "MemoryError", mood="kept = [bytearray(1 << 26) for _ in range(64)]", before=LITTLE
    ),
    "an attack returns NaN": Fault(
        "plugin returns NaN", 1, "not finite", mood="made = Images(made.pixels * float('nan'), made.labels)"
    ),
    "an attack returns other shapes": Fault(
        "plugin returns wrong shapes", 1, "expected", mood="made = Images(made.pixels[:, :, :5], made.labels)"
    ),
    "an attack returns nothing": Fault("plugin returns wrong shapes", 1, "FAILED", mood="made = None"),
    "an attack returns people nobody asked for": Fault(
        "plugin returns wrong shapes", 1, "FAILED", mood="made = Images(made.pixels, made.labels + 1000)"
    ),
    "an attack prints without end": Fault(
        "plugin prints gigabytes", 0, "xxxx", mood="for _ in range(40): print('x' * 1_000_000)"
    ),
    # in-process nobody outlives it to say so; its own status stands, and the next run names the step
    "an attack calls os._exit": Fault(
        "plugin calls os._exit", 0, "guess on", mood="os._exit(0)", next_told=DIED
    ),
    "an attack crashes": Fault(
        "worker killed", -11, "guess on", mood="import ctypes; ctypes.string_at(0)", next_told=DIED
    ),
    "the system kills a run that has too much memory": Fault(
        "worker killed", -9, "guess on", mood="import signal; os.kill(os.getpid(), signal.SIGKILL)", next_told=DIED
    ),
    "Ctrl-C": Fault("Ctrl-C once", **STOPPED, before=AT_CHECKPOINT.format(1, "[2]")),
    "Ctrl-C in a later step": Fault("Ctrl-C once", **STOPPED, before=AT_CHECKPOINT.format(4, "[2]")),
    "Ctrl-C twice": Fault("Ctrl-C twice", **STOPPED, before=AT_CHECKPOINT.format(2, "[2, 2]")),
    "SIGTERM": Fault("SIGTERM", **STOPPED, before=AT_CHECKPOINT.format(2, "[15]")),
    "SIGTERM, then Ctrl-C": Fault("SIGTERM", **STOPPED, before=AT_CHECKPOINT.format(2, "[15, 2]")),
    "disk full at once": Fault("disk full", 2, "no space left", before=FULL.format(1)),
    "disk full at a checkpoint": Fault("disk full", 2, "no space left", before=FULL.format(4)),
    "disk full at an artefact": Fault("disk full", 2, "no space left", before=FULL.format(9)),
    "disk full at the report": Fault("disk full", 2, "no space left", before=FULL_AT_REPORT),
    "files may not grow": Fault("disk full", 2, "cannot be written", before=SHORT),
    "a checkpoint is emptied": Fault(
        "checkpoint damaged", **STOPPED, before=AT_CHECKPOINT.format(1, "[2]"), then=checkpoint(empty),
        next_told="set aside",
    ),
    "a checkpoint is cut": Fault(
        "checkpoint damaged", **STOPPED, before=AT_CHECKPOINT.format(1, "[2]"), then=checkpoint(cut),
        next_told="set aside",
    ),
    "a checkpoint has another bit": Fault(  # it may be one that nobody reads
        "checkpoint damaged", **STOPPED, before=AT_CHECKPOINT.format(1, "[2]"), then=checkpoint(flip)
    ),
    "the clock jumps ten years, to and fro": Fault("clock jump", 0, "", before=CLOCK.format(-3.2e8)),
    "the clock stood at zero, and far ahead": Fault("clock jump", 0, "", then=old_and_new),
    "MLflow is down": Fault(
        "MLflow down", 0, "not logged to MLflow", env={"MLFLOW_TRACKING_URI": AWAY}, arguments=RUN[:2]
    ),
}  # fmt: skip
TRACKING, SHARING, STORE = "running/test_tracking.py", "store/test_sharing.py", "store/test_store.py"
ELSEWHERE = {
    "MLflow answers 500": (TRACKING, "test_a_server_that_is_none_is_told_in_words"),
    "MLflow's experiment deleted": (TRACKING, "test_a_deleted_experiment_is_named_with_the_way_back"),
    "two runs at once": (SHARING, "test_two_runs_on_one_store_share_the_work"),
    "network of a store fails": (STORE, "test_a_network_that_fails_is_no_damage"),
    "power loss": (STORE, "test_data_is_on_the_disk_before_its_name_is"),
}
KINDS = {
    "kill -9", "worker killed", "disk full", "artefact damaged", "checkpoint damaged", "clock jump", "MLflow down",
    "MLflow slow", "MLflow answers 500", "MLflow's experiment deleted", "two runs at once", "plugin raises",
    "plugin hangs", "plugin leaks memory", "plugin returns NaN", "plugin returns wrong shapes",
    "plugin prints gigabytes", "plugin calls os._exit", "Ctrl-C once", "Ctrl-C twice", "SIGTERM",
    "network of a store fails", "power loss",
}  # fmt: skip
HARM = {"emptied": empty, "cut": cut, "flipped": flip, "deleted": Path.unlink}
WHERE = ("a manifest", "a file", "a report")
DAMAGE = [(where, how) for where in WHERE for how in HARM]
DRAW = random.Random(SEED)
SOME = [
    DRAW.choice(sorted(name for name, fault in FAULTS.items() if fault.kind == kind))
    for kind in DRAW.sample(sorted({fault.kind for fault in FAULTS.values()}), ALWAYS)
]


def rows(world) -> bytes:
    return world.path("store/reports/plan/rows.json").read_bytes()


def finished(world) -> dict[str, int]:
    """Whole artefacts by when they were written; fails where one is half."""
    found = {}
    for manifest in world.path("store").glob("artefacts/*.json"):
        for blob in json.loads(manifest.read_bytes())["blobs"].values():
            data = world.path(f"store/blobs/{blob[:2]}/{blob}").read_bytes()
            assert hashlib.sha256(data).hexdigest() == blob
        found[manifest.name] = manifest.stat().st_ino
    return found


def ends_alike(world, known, next_told: str = "") -> None:
    """After whatever happened."""
    before = finished(world)
    ended = world(*RUN)
    assert ended.status == 0, ended.err
    assert rows(world) == rows(known)
    assert before.items() <= finished(world).items()  # nothing that was finished is written again
    assert next_told in ended.err


def suffers(world, known, fault: Fault) -> None:
    ended = world(*fault.arguments, before=fault.before, env={"MOOD": fault.mood, **fault.env})
    assert ended.status == fault.status, ended.err[-3000:]
    assert fault.told in ended.err.replace("\n", " "), ended.err[-3000:]
    assert "Traceback" not in ended.err
    if fault.then:
        fault.then(world)
    ends_alike(world, known, fault.next_told)


@pytest.mark.parametrize("name", SOME)
def test_some_faults(name, fresh, known):
    suffers(fresh, known, FAULTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FAULTS) - set(SOME)))
def test_all_other_faults(name, fresh, known):
    suffers(fresh, known, FAULTS[name])


def killed(fresh, known, number: int) -> None:
    """At an instant of a run that nobody chose, and again while it goes on."""
    draw = random.Random(1000 * SEED + number)
    for _ in range(2):
        ended = fresh(*RUN, timeout=draw.uniform(0.05, 4.0))
        assert ended.status in (-9, 0)
        finished(fresh)
    ends_alike(fresh, known)


@pytest.mark.parametrize("number", range(2))
def test_some_kills(number, fresh, known):
    killed(fresh, known, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2, KILLS))
def test_all_other_kills(number, fresh, known):
    killed(fresh, known, number)


@pytest.fixture(scope="session")
def needed(known) -> set[str]:
    """Keys of the plan's own steps; the store has others, of other commands."""
    return {step["key"] for step in json.loads(known("plan", "plan.toml", "--no-probe", "--json").out)}


def damaged(world, known, needed, where: str, how: str, seed: int = SEED) -> None:
    """Something that is read by the next run, which lacks all measurements and pictures."""
    draw, blobs, manifests = random.Random(seed), set(), []
    for manifest in [world.path(f"store/artefacts/{key}.json") for key in sorted(needed)]:
        told = json.loads(manifest.read_bytes())
        if told["provenance"].get("kind") in ("measure", "picture"):
            manifest.unlink()
        else:
            manifests.append(manifest)
            blobs |= {world.path(f"store/blobs/{blob[:2]}/{blob}") for blob in told["blobs"].values()}
    reports = world.folder.glob("store/reports/plan/*.json")
    there = {"a manifest": manifests, "a file": blobs, "a report": reports}
    HARM[how](draw.choice(sorted(there[where])))
    ended = world(*RUN)
    assert ended.status == 0, ended.err
    assert rows(world) == rows(known)
    ends_alike(world, known)


@pytest.mark.parametrize(("where", "how"), random.Random(SEED).sample(DAMAGE, 1))
def test_some_damage(where, how, world, known, needed):
    damaged(world, known, needed, where, how)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("where", "how"), DAMAGE)
def test_all_damage(where, how, seed, world, known, needed):
    damaged(world, known, needed, where, how, seed)


@pytest.mark.slow
def test_a_disk_that_is_really_full(fresh, known):
    place = fresh.path("store")
    place.mkdir()
    if (
        os.getuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("mounting a small file system is not permitted here")
    try:
        ended = fresh(*RUN)
        assert ended.status == 2
        assert "no space left" in ended.err
        finished(fresh)
        shutil.copytree(place, fresh.path("kept"))
    finally:
        subprocess.run(["umount", place], check=True)
    place.rmdir()
    fresh.path("kept").rename(place)
    ends_alike(fresh, known)


@pytest.mark.slow
def test_a_tracking_server_that_never_answers(fresh, known):
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as silent:
        ended = fresh(*RUN[:2], env={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{silent.getsockname()[1]}"})
    assert ended.status == 0
    assert "not logged to MLflow" in ended.err
    ends_alike(fresh, known)


def test_the_count():
    here = {fault.kind for fault in FAULTS.values()} | {"kill -9", "artefact damaged", "MLflow slow"}
    assert here | set(ELSEWHERE) == KINDS
    for file, name in ELSEWHERE.values():
        assert f"def {name}(" in Path(__file__).parents[1].joinpath("harness", file).read_text()
    assert len(FAULTS) + len(ELSEWHERE) + KILLS + 3 * len(DAMAGE) + 2 >= 120
