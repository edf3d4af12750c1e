"""Steps in worker processes: the same answers, whatever dies, and everything that is shown there is shown here."""

from __future__ import annotations

import importlib
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import unveil
from unveil.harness.plan.node import Node, Use
from unveil.harness.running import worker
from unveil.harness.running.execute import Outcome, Surroundings, compute
from unveil.harness.running.limits import Limits, resident
from unveil.harness.running.pools import Pooling, PoolKind, pooling
from unveil.harness.running.processes import ProcessPool
from unveil.harness.running.processors import CHOICES
from unveil.harness.running.resources import Needs
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import DamageError, PlanError
from unveil.harness.words.spec import Spec

PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
# Found by the workers, since they look for modules where this process does
WORK = """
import logging, os, signal, sys, time, warnings
import torch
from unveil.harness.running.execute import Outcome
from unveil.harness.words.errors import DamageError

def killed(node, around):
    os.kill(os.getpid(), signal.SIGKILL)

def exits(node, around):
    os._exit(3)

def damaged(node, around):
    raise DamageError("x", "y", "z")

def hangs(node, around):
    while True:
        time.sleep(1)

def hoards(node, around):
    held = [bytearray(os.urandom(1_000_000)) * 1_700]
    while True:
        time.sleep(1)

def waits(node, around):
    around.counts(False)
    time.sleep(5)
    around.counts(True)
    return Outcome("done")

def waits_and_hangs(node, around):
    around.counts(False)
    around.counts(True)
    hangs(node, around)

def tells(node, around):
    print(os.getpid(), flush=True)
    time.sleep(600)

def shows(node, around):
    bar = around.shown.start("work", 10)
    for i in range(10):
        bar.advance(1, loss=float(i))
    around.shown.stop(bar)
    logging.getLogger("unveil.somewhere").warning("mind the %s", "gap")
    warnings.warn("odd\\nwarning")
    print("printed")
    print("complained", file=sys.stderr)
    said = [os.getpid(), os.environ["OMP_NUM_THREADS"], torch.get_num_threads(), os.environ["OMP_WAIT_POLICY"]]
    return Outcome("done", " ".join(map(str, said)))
"""


class Screen:
    """Notes what is shown."""

    def __init__(self) -> None:
        self.bars: list[Any] = []

    def start(self, label: str, total: int) -> Any:
        self.bars.append([label, total, 0, {}, "open"])
        return Noted(self.bars[-1])

    def stop(self, bar: Any) -> None:
        bar.noted[4] = "closed"


class Noted:
    def __init__(self, noted: list[Any]) -> None:
        self.noted = noted

    def advance(self, steps: int = 1, **values: float) -> None:
        self.noted[2] += steps
        self.noted[3] = values


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "pool_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("pool_work")


def test_who_dies_is_a_failed_step_and_who_comes_after_is_heard(
    work: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    node, screen = Node("data", "some data"), Screen()
    around = Surroundings("nowhere", shown=screen)
    with ProcessPool(1, threads=1) as pool:
        assert pool.room(Needs.GPU)
        ends: list[Future[Outcome]] = []
        for one in (work.killed, work.exits, work.damaged):
            ends.append(pool.submit(one, node, around))
            assert not pool.room(Needs.GPU)
            ends[-1].exception(60)
        with warnings.catch_warnings(record=True) as warned:
            told = [pool.submit(work.shows, node, around).result(60).error.split() for _ in range(2)]
    killed, exited = ends[0].result(), ends[1].result()
    assert killed.status == exited.status == "failed"
    assert "killed by SIGKILL (signal 9), as the system does where memory runs out" in killed.error
    assert "its worker ended with exit status 3" in exited.error
    assert isinstance(ends[2].exception(), DamageError)
    assert told[0] == told[1]  # one process took both
    assert told[0][1:] == ["1", "1", "PASSIVE"]
    assert screen.bars == 2 * [["work", 10, 10, {"loss": 9.0}, "closed"]]
    assert [record.getMessage() for record in caplog.records] == 2 * ["mind the gap"]
    assert [str(one.message) for one in warned] == ["odd\nwarning"]
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("printed\n" * 2, "complained\n" * 2)


def test_a_worker_refuses_to_answer_with_other_code(project: Any, tmp_path: Path) -> None:
    use = Use("attacks", Spec("guess.py:Guess", {}), str(tmp_path))
    node = Node("attack", "a guess", {"attack": (use,)})
    key = node.key
    node.require_same_code()
    project.edit("guess.py", "5 * slope", "6 * slope")  # after the plan was read, before a worker starts
    with ProcessPool(1, threads=1) as pool:
        outcome = pool.submit(compute, node, Surroundings(str(tmp_path / "store"))).result(60)
    assert outcome.status == "failed"
    assert "a guess: the code here is not that of the plan" in outcome.error
    assert not Store(str(tmp_path / "store")).has(key)


# In the second epoch: says that it is there, and goes on as soon as the file "on" appears
DEFENSE = """
import time
from dataclasses import dataclass
from pathlib import Path
from unveil.harness.types import Defense

HERE = Path(__file__).parent

@dataclass(frozen=True)
class Waits(Defense):
    def begin(self, classifier, epoch, epochs):
        if epoch == 1:
            (HERE / "there").touch()
            while not (HERE / "on").exists():
                time.sleep(0.01)
"""


def _signals(folder: Path, number: int, count: int) -> None:
    """Sends signals to this process when the step is there, and lets it go on after a single one."""
    while not (folder / "there").exists():
        time.sleep(0.01)
    for _ in range(count):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        time.sleep(0.5)
    if count == 1:
        (folder / "on").touch()


@pytest.mark.parametrize(
    ("pool", "number", "count"),
    [
        ("inline", signal.SIGTERM, 1),
        ("inline", signal.SIGTERM, 2),
        ("processes", signal.SIGINT, 1),
        pytest.param("processes", signal.SIGINT, 2, marks=pytest.mark.slow),
    ],
)
def test_a_signal_stops_at_a_checkpoint_and_a_second_one_at_once(
    project: Any, monkeypatch: pytest.MonkeyPatch, pool: str, number: int, count: int
) -> None:
    monkeypatch.chdir(project.folder)
    (project.folder / "trouble.py").write_text(DEFENSE)
    project.edit("tiny.toml", "trouble.py:Trouble", "trouble.py:Waits")
    project.edit("tiny.toml", '[[defenses]]\nuse = "none"\n', "")
    before = signal.signal(number, signal.default_int_handler)
    sender = threading.Thread(target=_signals, args=[project.folder, number, count])
    sender.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            unveil.run("tiny.toml", "store", pool=pool, jobs=1)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        sender.join()
        signal.signal(number, before)
    (saved,) = (project.folder / "store" / "scratch").glob("*/training.pt")
    assert torch.load(saved, weights_only=True)["epoch"] == (2 if count == 1 else 1)
    (project.folder / "on").touch()
    assert [row.status for row in unveil.run("tiny.toml", "store").rows] == ["done"]


def test_rows_and_keys_are_the_same_whoever_computes_and_whatever_dies(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    unveil.run("tiny.toml", "inline")
    monkeypatch.setenv("TROUBLE", str(project.folder / "marker"))
    monkeypatch.setenv("TROUBLE_HOW", "kill")
    cut = {row.defense: row for row in unveil.run("tiny.toml", "processes", jobs=2).rows}
    assert cut["none"].status == "done"
    assert cut["trouble"].status == "failed"
    assert "SIGKILL" in str(cut["trouble"].error)
    unveil.run("tiny.toml", "processes")
    assert project.rows("processes") == project.rows("inline")
    assert known(project.folder / "processes") == known(project.folder / "inline")


def known(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "artefacts").iterdir())


def test_a_step_over_its_limit_is_a_failed_step_that_says_so(work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node, around = Node("data", "some data"), Surroundings("nowhere")
    with ProcessPool(1, 1, Limits(minutes=0.05)) as pool:
        hung = pool.submit(work.hangs, node, around).result(60)
    assert hung.status == "failed"
    assert hung.error.startswith("it took more than 0.05 minutes")
    assert Limits(minutes=1, gigabytes=1000).broken(os.getpid(), 59) is None
    told = str(Limits(gigabytes=0.01).broken(os.getpid(), 0))
    assert re.match(r"it held \d\.\d GB in memory, more than 0\.01 GB", told)
    with pytest.raises(PlanError, match="-1 minutes"):
        Limits(minutes=-1)
    monkeypatch.setattr("unveil.harness.running.limits.PROCESSES", Path("/nowhere"))
    with pytest.raises(PlanError, match="does not show it in /proc"):
        Limits(gigabytes=1)


def test_waiting_for_another_run_is_no_time_of_a_step(
    work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, around = Node("data", "some data"), Surroundings("nowhere")
    with ProcessPool(2, 1, Limits(minutes=0.05)) as pool:
        both = [pool.submit(one, node, around) for one in (work.waits, work.waits_and_hangs)]
        waited, hung = (one.result(60) for one in both)
    assert waited.status == "done"
    assert hung.error.startswith("it took more than 0.05 minutes")

    @contextmanager
    def lease(*_: object) -> Iterator[None]:
        said.append("leased")
        yield

    said: list[object] = []
    for name, answer in {"lease": lease, "usable": lambda *_: True, "provenance": lambda *_: {"seconds": 1}}.items():
        monkeypatch.setattr(Store, name, answer)
    assert compute(node, Surroundings(str(tmp_path), counts=said.append)).status == "cached"
    assert said == [False, "leased", True]


@pytest.mark.slow
def test_a_step_that_holds_too_much_memory_is_a_failed_step_that_says_so(work: Any) -> None:
    with ProcessPool(1, 1, Limits(gigabytes=1.5)) as pool:
        greedy = pool.submit(work.hoards, Node("data", "some data"), Surroundings("nowhere")).result(60)
    assert greedy.status == "failed"
    assert re.match(r"it held \d\.\d GB in memory, more than 1\.5 GB", greedy.error)


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them_however_it_ends(work: Any, tmp_path: Path) -> None:
    told = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import pool_work
from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.processes import ProcessPool
pool = ProcessPool(1, 1)
pool.submit(pool_work.tells, Node("data", "some data"), Surroundings("nowhere")).result()
"""
    with subprocess.Popen([sys.executable, "-c", told], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    over = time.monotonic() + 30
    while resident(worker) and time.monotonic() < over:
        time.sleep(0.05)
    assert not resident(worker)


def test_memory_counts_what_a_process_has_started() -> None:
    before = resident(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "x = bytearray(50_000_000); print(); input()"], **PIPES)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        assert 50e6 < resident(child.pid) < resident(os.getpid()) - before + 20e6
        child.kill()
    assert resident(child.pid) == 0


@pytest.mark.gpu
def test_two_workers_share_a_gpu(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    results = unveil.run("tiny.toml", "store", jobs=2, device="cuda")
    assert [row.status for row in results.rows] == ["done", "done"]
    devices = {made["device"] for made in results.provenance.values()}
    count = torch.cuda.device_count()
    assert devices <= ({"cuda"} if count == 1 else {f"cuda:{i}" for i in range(count)})


@pytest.mark.parametrize(
    ("wanted", "count", "taken"),
    [("cuda", 3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]), ("cuda", 1, ["cuda"] * 4), ("cuda:1", 3, ["cuda:1"] * 4)],
)
def test_workers_take_the_gpus_in_turns(
    monkeypatch: pytest.MonkeyPatch, wanted: str, count: int, taken: list[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    assert [worker.device_of(wanted, number) for number in range(4)] == taken


def test_more_than_one_job_takes_processes_and_shares_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    limits = Limits(minutes=1)
    assert pooling(limits=limits, threads=3) == Pooling(PoolKind.PROCESSES, 1, 3, limits)
    assert pooling() == Pooling(PoolKind.INLINE, 1, 0)
    assert pooling(threads=3) == Pooling(PoolKind.INLINE, 1, 3)
    assert pooling(jobs=2, threads=8) == Pooling(PoolKind.PROCESSES, 2, 4)
    assert pooling("processes", 4, 3) == Pooling(PoolKind.PROCESSES, 4, 1)
    monkeypatch.setattr("unveil.harness.running.processors.quota", lambda: math.inf)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pooling(jobs=2).threads == 6
    assert pooling("processes") == Pooling(PoolKind.PROCESSES, 12, 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert pooling(jobs=2).threads == 1
    for kind, jobs, told in (("inline", 2, "2 jobs in the pool 'inline'"), ("threads", 1, "'threads'"), (None, 0, "0")):
        with pytest.raises(PlanError, match=told):
            pooling(kind, jobs)
