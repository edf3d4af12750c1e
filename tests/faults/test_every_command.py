"""Every command, in surroundings that are out of order: it does what was asked or says what is wrong, in words."""

import json
import os
import sqlite3

import pytest
import typer

from unveil.cli.app import app


def every(group, *before):
    """All commands, those of groups too, by the words that call them."""
    found = {}
    for name, command in group.commands.items():
        inside = hasattr(command, "commands")
        found |= every(command, *before, name) if inside else {" ".join([*before, name]): command}
    return found


COMMANDS = every(typer.main.get_command(app))
# What the arguments that a command cannot do without are called, and what is given for them here. A new command is
# called everywhere below as soon as its arguments are known.
VALUES = {
    "plan": "plan.toml", "plans": "plan.toml", "bundle": "audit.zip", "defense": "ls", "plugin": "ls",
    "kind": "defense", "name": "mine", "source": "net.pkl", "out": "out.safetensors", "what": "plan.toml",
    "sources": "plan.toml", "folder": "nowhere", "model": "net.pkl", "private": "store", "public": "store",
}  # fmt: skip
LEAVES = """
from dataclasses import dataclass
from unveil.harness.types import Defense

@dataclass(frozen=True)
class Other(Defense):
    def loss(self, terms, step):
        raise SystemExit(0)
"""
STATUSES = {0, 1, 2, 130}
AWAY = "http://127.0.0.1:9"
OFFLINE = {
    "PIP_INDEX_URL": AWAY, "PIP_EXTRA_INDEX_URL": None, "PIP_FIND_LINKS": None, "PIP_CONFIG_FILE": os.devnull,
    "PIP_RETRIES": "0",
}  # fmt: skip
NOBODY = "os.getuid() or os.setuid(65534)"  # root may write anywhere


def called(command):
    """A command with what it cannot do without."""
    words = command.split()
    for given in COMMANDS[command].params:
        if given.required:
            words += (
                [VALUES[given.name]] if given.param_type_name == "argument" else [given.opts[0], VALUES[given.name]]
            )
    return words


def spoilt_plan(content):
    return lambda world: world.path("plan.toml").write_bytes(content)


def no_plan(world):
    world.path("plan.toml").unlink()


def plan_is_a_folder(world):
    no_plan(world)
    world.path("plan.toml").mkdir()


def plugin(text):
    def spoil(world):
        world.path("other.py").write_text(text)
        old = world.path("plan.toml").read_text()
        world.path("plan.toml").write_text(old.replace('{ use = "ls",', '{ use = "other.py:Other",'))

    return spoil


def store_is_a_file(world):
    world.path("store").rename(world.path("elsewhere"))
    world.path("store").write_text("no folder")


def read_only(world):
    for folder, _, files in os.walk(world.folder):
        os.chmod(folder, 0o555)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)


def results(change):
    def spoil(world):
        file = world.path("store/reports/plan/results.json")
        file.write_bytes(change(file.read_bytes()))

    return spoil


def in_database(statement):
    def spoil(world):
        with sqlite3.connect(world.path("store/mlflow.db")) as opened:
            opened.execute(statement)
        opened.close()

    return spoil


def database(change):
    def spoil(world):
        file = world.path("store/mlflow.db")
        file.write_bytes(change(file.read_bytes()))

    return spoil


def broken_package(world):
    """Third-party plugins: one cannot be imported, one is no Python, one is not there, one ends the process."""
    folder = world.path("broken")
    (folder / "broken-1.dist-info").mkdir(parents=True)
    (folder / "broken-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    points = [
        "a = broken_a:A",
        "b = broken_b:B",
        "c = nowhere.at.all:C",
        "d = broken_d.inside:D",
        "e = no class",
        "f = :",
    ]
    (folder / "broken-1.dist-info/entry_points.txt").write_text("[unveil.attacks]\n" + "\n".join(points))
    (folder / "broken_a.py").write_text("raise RuntimeError('a')")
    (folder / "broken_b.py").write_bytes(b"\xff\0 def")
    (folder / "broken_d").mkdir()
    (folder / "broken_d/__init__.py").write_text("import sys; sys.exit(0)")


# what is done to the project; how the call differs; commands that are told most by it
SURROUNDINGS = {
    "ascii": (None, {"encoding": "ascii"}, ("run", "list")),
    "cp1252": (None, {"encoding": "cp1252"}, ("tune", "data")),
    "no output": (None, {"before": "os.close(1)"}, ("run", "plan", "store du")),
    "no errors": (None, {"before": "os.close(2)"}, ("new",)),
    "neither": (None, {"before": "os.close(0); os.close(1); os.close(2)"}, ("plan",)),
    "reader gone": (None, {"before": "r, w = os.pipe(); os.close(r); os.dup2(w, 1)"}, ("run",)),
    "nobody listens": (None, {"before": "r, w = os.pipe(); os.close(r); os.dup2(w, 2)"}, ("run",)),
    "disk full behind output": (None, {"before": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"}, ("run",)),
    "disk full behind errors": (None, {"before": "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)"}, ("assets",)),
    "no columns": (None, {"env": {"COLUMNS": "0", "TERM": "dumb", "FORCE_COLOR": "1"}}, ("fisher",)),
    "no plan": (no_plan, {}, ("plan", "board", "profile", "judge", "submit")),
    "plan is a folder": (plan_is_a_folder, {}, ("run",)),
    "plan is no text": (spoilt_plan(b'title = "\xff"'), {}, ("tune",)),
    "plan is no TOML": (spoilt_plan(b"title = [\x1b[2J"), {}, ("run",)),
    "plan is empty": (spoilt_plan(b""), {}, ("plan",)),
    "plugin ends the process": (plugin("raise SystemExit(0)"), {}, ("run", "plan")),
    "plugin ends it later": (plugin(LEAVES), {}, ("run",)),
    "plugin is no Python": (plugin("def ("), {}, ("run",)),
    "store is a file": (store_is_a_file, {}, ("plan", "data", "store verify", "audit")),
    "nothing may be written": (read_only, {"before": NOBODY}, ("run", "new", "store pin")),
    "no store yet": (None, {"env": {"UNVEIL_STORE": "other/\udcff"}}, ("plan", "board", "store gc")),
    "results cut off": (results(lambda old: old[: len(old) // 2]), {}, ("log",)),
    "results are no text": (results(lambda old: b"\xff" + old), {}, ("board",)),
    "no server": (None, {"env": {"MLFLOW_TRACKING_URI": AWAY}}, ("log",)),
    "no such tracker": (None, {"env": {"MLFLOW_TRACKING_URI": "nosuch://"}}, ("log",)),
    "experiment deleted": (in_database("UPDATE experiments SET lifecycle_stage = 'deleted'"), {}, ("log", "run")),
    "newer database": (in_database("UPDATE alembic_version SET version_num = 'f'"), {}, ("log",)),
    "database cut off": (database(lambda old: old[: len(old) // 2]), {}, ("log",)),
    "database of something else": (database(lambda old: b"x" * 5000), {}, ("log",)),
    "no home": (None, {"env": {"HOME": None, "UNVEIL_CACHE": None}, "before": "os.setuid(12345)"}, ("assets",)),
    "cache is a file": (None, {"env": {"UNVEIL_CACHE": "plan.toml"}}, ("assets",)),
    "offline": (None, {"env": OFFLINE}, ("assets",)),
    "folder gone": (None, {"before": "import shutil; shutil.rmtree(os.getcwd())"}, ("new", "check", "serve")),
    "no temporary folder": (None, {"before": "import tempfile; tempfile.tempdir = '/nowhere'"}, ("log",)),
    "disk full": (
        None,
        {"before": "resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))"},
        ("convert-stylegan2", "store export"),
    ),
    "bundle is no bundle": (
        lambda world: world.path("audit.zip").write_bytes(b"PK\5\6" + bytes(18)),
        {},
        ("store import",),
    ),
    "package broken": (broken_package, {"before": "sys.path.insert(0, 'broken')"}, ("list",)),
}
ALL = [(command, name) for name in SURROUNDINGS for command in COMMANDS]
TELLING = [(command, name) for name, (_, _, commands) in SURROUNDINGS.items() for command in commands]
if os.getuid():  # only root becomes somebody without a home
    SURROUNDINGS.pop("no home")


def in_words(world, command, name):
    spoil, how, _ = SURROUNDINGS[name]
    if spoil:
        spoil(world)
    ended = world(*called(command), **how)
    told = ended.out.decode(how.get("encoding", "utf-8"), "replace") + ended.err
    assert "Traceback" not in told, told
    assert "this is a bug" not in told, told
    assert ended.status in STATUSES, told
    if ended.status == 2 and name not in {"no errors", "neither", "nobody listens", "disk full behind errors"}:
        assert ended.err.startswith("error: ") or "\nerror: " in ended.err
    return ended


def test_every_command_is_called():
    assert {"run", "store gc"} < set(COMMANDS)
    assert {command for command, _ in TELLING} == set(COMMANDS)


@pytest.mark.parametrize("command", ["run", "plan", "fisher", "tune"])
def test_names_are_shown_as_they_are(known, command):
    shown = known(*called(command)).out.decode()
    assert "none [a]" in shown or command == "tune"
    assert "[red] :smile:" in shown or command in {"tune", "fisher"}
    assert "ls [/b] :smile:" in shown or command == "tune"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_is_the_same_in_any_encoding(known, encoding):
    told = json.loads(known("run", "plan.toml", "--json", encoding=encoding).out.decode("ascii"))
    assert {row["defense"] for row in told} == {"none [a]", "ls [/b] :smile:"}


def test_json_stands_alone_whatever_the_tracker_says(known):
    """MLflow says where its server shows a run, and says it on standard output."""
    ended = known("run", "plan.toml", "--json", env={"MLFLOW_TRACKING_URI": AWAY})
    assert len(json.loads(ended.out)) == 2
    assert "warning: not logged to MLflow" in ended.err


def test_json_stands_alone_whatever_a_plugin_prints(known):
    """On whatever way: Python's, a library's, a child process's."""
    noise = "print('noise'), os.write(1, b'raw '), os.system('echo child')"
    ended = known(
        "list",
        "--json",
        before=f"import os, unveil.harness.plan.plugins as p; was = p.registered\n"
        f"p.registered = lambda kind: ({noise}, was(kind))[-1]",
    )
    assert json.loads(ended.out)
    assert all(word in ended.err for word in ("noise", "raw ", "child"))


def test_an_asset_that_cannot_be_fetched_is_told_in_words(known):
    ended = known("assets", "mnist", env=OFFLINE)
    assert ended.status == 2
    assert "error: asset 'mnist' could not be fetched" in ended.err


def test_what_nobody_foresaw_is_told_in_words_and_kept_in_a_file(known, tmp_path):
    """Here the list of commands itself is broken."""
    broken = "from unveil.harness.plan import plugins; plugins.registered = lambda kind: 1 / 0"
    ended = known("list", before=f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n{broken}")
    (kept,) = tmp_path.glob("unveil-*.log")
    assert ended.status == 3
    assert "this is a bug in unveil or in a plugin: ZeroDivisionError: division by zero (<string>, line 2)" in ended.err
    assert f"report it with {kept}" in ended.err
    assert "Traceback" in kept.read_text()
    assert "Traceback" not in ended.err


def test_ctrl_c_ends_any_command_with_130(known):
    ended = known(
        "list",
        before="def stop(kind): raise KeyboardInterrupt\nimport unveil.harness.plan.plugins as p; p.registered = stop",
    )
    assert ended.status == 130
    assert ended.err.startswith("interrupted: what was computed is kept")


@pytest.mark.parametrize(("command", "name"), TELLING)
def test_what_tells_most(world, command, name):
    in_words(world, command, name)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "name"), sorted(set(ALL) - set(TELLING)))
def test_everything_everywhere(world, command, name):
    in_words(world, command, name)
