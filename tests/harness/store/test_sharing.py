"""Two runs on one store, and two plans of one name: nobody takes anything from anybody."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from unveil.cli.board import board
from unveil.cli.computing import compute_all
from unveil.harness.audit import stored
from unveil.harness.figures.rows import Results
from unveil.harness.plan.given import Given, joined
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.reports import Reports
from unveil.harness.store.artefacts import Store
from unveil.harness.store.lease import Lease
from unveil.harness.words.errors import PlanError, StoreError

HOLDER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control ignores it for its children
from pathlib import Path
from unveil.harness.running.execute import Surroundings
from unveil.harness.store.lease import Lease
Lease(Path(sys.argv[1]), "held").take()
print("held", flush=True)
time.sleep(600)
"""


def started(project, *arguments):
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=project.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    )  # fmt: skip


def test_two_runs_on_one_store_share_the_work(project):
    run = ["-m", "unveil", "run", "tiny.toml", "--mlflow", "off", "--store", "store", "--json"]
    first, second = (started(project, *run) for _ in range(2))
    (rows, told), (same, also) = (process.communicate(timeout=300) for process in (first, second))
    assert (first.returncode, second.returncode) == (0, 0), told + also
    assert rows == same
    assert json.loads(rows) == json.loads(project.rows())
    counts = [int(text.split(" computed now")[0].split()[-1]) for text in (told, also)]
    assert sum(counts) == 12  # nothing twice
    assert not list((project.folder / "store/leases").iterdir())


@pytest.fixture
def held(project):
    """A lease of another process."""
    path = project.folder / "leases" / "step"
    holder = started(project, "-c", HOLDER, str(path))
    assert holder.stdout.readline() == "held\n"
    yield path, holder
    holder.kill()
    holder.communicate()


def test_whoever_is_killed_holds_nothing(held, caplog, monkeypatch):
    path, holder = held

    def killed(seconds):
        holder.kill()
        holder.wait()

    monkeypatch.setattr(time, "sleep", killed)
    lease = Lease(path, "target net")
    lease.take()
    assert f"target net: another run (pid {holder.pid} on " in caplog.text
    assert path.read_text().startswith(f"pid {os.getpid()} ")
    lease.give_back()
    assert not path.exists()


def test_waiting_can_be_interrupted(held, project):
    path, holder = held
    waiting = started(project, "-c", HOLDER, str(path))
    assert f"another run (pid {holder.pid}" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=60)
    assert waiting.returncode not in (0, None)
    assert holder.poll() is None
    assert path.read_text().startswith(f"pid {holder.pid} ")


def test_a_lease_whose_file_is_removed_under_it_is_taken_anew(tmp_path):
    first, second = (Lease(tmp_path / "step", "step") for _ in range(2))
    first.take()
    (tmp_path / "step").unlink()
    second.take()
    assert (tmp_path / "step").exists()
    second.give_back()
    first.give_back()


@pytest.fixture
def plans(tmp_path):
    """Two projects beside one store: of one file name, and where told of one text."""
    made = []
    for place in ("A", "B"):
        path = tmp_path / place / "plan.toml"
        path.parent.mkdir()
        path.write_text(f"project {place}")
        made.append(path)
    return made


def keep(store, path, name="plan", text=None):
    text = path.read_text() if text is None else text
    return Reports(store, name).keep(text, path, Results(title=text, plan=text))


def find(store, path, name="plan"):
    return Reports(store, name).find(path.read_text(), path)


def test_two_plans_of_one_name_have_a_report_each(tmp_path, plans):
    a, b = plans
    b.write_text(a.read_text())  # the same words about other pictures
    store = Store(str(tmp_path / "store"))
    assert keep(store, a) == "reports/plan"
    assert find(store, b) is None
    other = keep(store, b)
    assert other != "reports/plan"
    assert (find(store, a), find(store, b)) == ("reports/plan", other)
    a.write_text("project A, edited")
    assert find(store, a) == keep(store, a) == "reports/plan"
    assert find(store, b) == other


@pytest.mark.parametrize("store", ["store", "A/runs"])
@pytest.mark.parametrize("how", ["renamed", "copied", "all moved"])
def test_a_project_that_moves_finds_its_results(tmp_path, plans, store, how):
    a, _ = plans
    keep(Store(str(tmp_path / store)), a)
    root = tmp_path
    if how == "all moved":
        root = tmp_path / "elsewhere"
        root.mkdir()
        for name in ("A", "store"):
            if (tmp_path / name).exists():
                (tmp_path / name).rename(root / name)
    elif how == "renamed" or store == "store":  # a copy beside a store that both use is another project
        (root / "A").rename(root / "C")
    else:
        subprocess.run(["cp", "-r", root / "A", root / "C"], check=True)
    project = root / ("A" if how == "all moved" else "C")
    there = Store(str(root / store if store == "store" else project / "runs"))
    assert find(there, project / "plan.toml") == "reports/plan"
    assert keep(there, project / "plan.toml") == "reports/plan"
    (project / "plan.toml").write_text("edited after the move")
    assert find(there, project / "plan.toml") == "reports/plan"


def test_a_preset_and_a_file_of_its_name(tmp_path):
    store, path = Store(str(tmp_path / "store")), tmp_path / "quick.toml"
    path.write_text("mine")
    assert keep(store, None, "quick", "the preset") == "reports/quick"
    mine = keep(store, path, "quick")
    assert Reports(store, "quick").find("the preset of a later version", None) == "reports/quick"
    assert find(store, path, "quick") == mine != "reports/quick"


@pytest.mark.parametrize("name", ["..", ".", "a b", "ü", "a\nb", "50%*?[x]", "\udcff", "x" * 250])
def test_odd_names_stay_in_their_folder(tmp_path, name):
    store, path = Store(str(tmp_path / "store")), tmp_path / "plan"
    path.write_text("odd")
    folder = keep(store, path, name)
    assert find(store, path, name) == folder
    (made,) = (tmp_path / "store/reports").iterdir()
    assert (made / "results.json").exists()
    assert {entry.name for entry in (tmp_path / "store").iterdir()} <= {"reports", "leases"}


@pytest.mark.parametrize("names", [["plan"], ["results"], ["plan", "results", "rows"]])
def test_a_damaged_report_is_written_anew_where_it_was(tmp_path, plans, names):
    store = Store(str(tmp_path / "store"))
    keep(store, plans[0])
    for name in names:
        (tmp_path / f"store/reports/plan/{name}.json").write_bytes(b"")
    assert keep(store, plans[0]) == "reports/plan"
    assert Reports(store, "plan").read("reports/plan", "run it").plan == "project A"


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A folder with a plan that was run, and its results."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text('title = "tiny"')
    keep(Store("store"), tmp_path / "plan.toml")
    return tmp_path


def run_with(store, path, *settings, variables=None):
    """Keeps results as a run with these settings does."""
    given = Given(environment=variables or {}).with_settings(settings)
    text = joined(given, path.read_text())
    return Reports(store, "plan").keep(text, path, Results(title=str(settings), plan=text))


def test_what_a_command_line_set_has_a_report_of_its_own(ran, capsys):
    store, path = Store("store"), ran / "plan.toml"
    few, many = (run_with(store, path, f"attacks.1.steps={n}", "scale=0.01") for n in (1, 9))
    assert len({few, many, "reports/plan"}) == 3
    assert run_with(store, path, "attacks.1.steps=1", " scale=0.01 ") == few
    assert run_with(store, path) == "reports/plan"
    assert stored("plan.toml", "store").folder == "reports/plan"
    assert stored("plan.toml", "store", ["attacks.1.steps=9", "scale=0.01"]).folder == many
    board(["plan.toml"], "store", set_=["attacks.1.steps=1"], scale=0.01)
    assert few in capsys.readouterr().out
    with pytest.raises(PlanError, match=r"several others \(.*reports/plan: nothing.*--set scale=0\.01"):
        stored("plan.toml", "store", ["scale=0.5"])


def test_results_that_were_computed_with_other_values_say_so(ran, monkeypatch):
    shutil.rmtree(ran / "store")
    folder = run_with(Store("store"), ran / "plan.toml", "seeds=[1, 2]", variables={"UNVEIL_FACES": "/a"})
    found = stored("plan.toml", "store")
    assert found.folder == folder
    assert found.note.startswith("computed with --set 'seeds=[1, 2]': these are the results of the plan as it was run")
    assert stored("plan.toml", "store", ["seeds=[1, 2]"]).note == ""
    monkeypatch.setenv("UNVEIL_FACES", "/b")
    note = stored("plan.toml", "store", ["seeds=[1, 2]"]).note
    assert "UNVEIL_FACES was /a, which is /b now" in note
    assert "`unveil run plan.toml --set 'seeds=[1, 2]'` computes the new" in note


def test_results_of_a_plan_that_has_changed_say_so(ran, capsys):
    board(["plan.toml"], "store")
    assert not capsys.readouterr().err
    (ran / "plan.toml").write_text('title = "edited')  # no TOML any more, either
    board(["plan.toml"], "store")
    told = capsys.readouterr().err
    assert "plan.toml has changed since" in told
    assert "`unveil run plan.toml`" in told
    page = (ran / "store/reports/plan/leaderboard.html").read_text()
    assert "edited" not in page
    assert "tiny" in page
    (ran / "plan.toml").unlink()
    board(["plan.toml"], "store")
    assert "there is no plan 'plan.toml'" in capsys.readouterr().err
    with pytest.raises(PlanError, match="there is no plan"):
        board(["other.toml"], "store")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[:-9], "is damaged, or of another version of unveil"),
        (lambda text: json.dumps({**json.loads(text), "mood": 1}), "another version of unveil: mood"),
        (lambda text: "", "is damaged"),
        (lambda text: "[]", "another version"),
    ],
)
def test_results_that_cannot_be_read_are_told_in_words(ran, damage, told):
    path = ran / "store/reports/plan/results.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(StoreError, match=told) as found:
        board(["plan.toml"], "store")
    assert "unveil run plan.toml" in found.value.todo


def test_results_that_are_no_text_are_none(ran):
    (ran / "store/reports/plan/results.json").write_bytes(b"\xff")
    with pytest.raises(PlanError, match="no results that can be read"):
        board(["plan.toml"], "store")


@pytest.mark.parametrize("out", ["page.html", "sub/page.html", "plan.toml/page.html", "."])
def test_a_page_is_written_whole_or_not_at_all(ran, out):
    if out in ("page.html", "sub/page.html"):
        board(["plan.toml"], "store", out)
        assert "<html" in (ran / out).read_text()
    else:
        with pytest.raises(StoreError, match=r"the page .* cannot be written"):
            board(["plan.toml"], "store", out)
    assert not list(ran.rglob("*.part"))


def test_a_store_that_is_a_file_is_told_before_anything_is_computed(tmp_path):
    (tmp_path / "store").write_text("mine")
    with pytest.raises(StoreError, match="it is a file, not a folder"):
        compute_all([], Store(str(tmp_path / "store")), Surroundings(str(tmp_path / "store")), accounts=True)
    assert (tmp_path / "store").read_text() == "mine"
