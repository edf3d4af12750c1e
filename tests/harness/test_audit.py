"""An audit from Python: the same results as from the command line, and nothing that ends the interpreter."""

import importlib
import json
import re
import subprocess
import sys
import types

import pytest

import unveil
from unveil.defenses.ls import LS
from unveil.harness.audit import prepare, stored
from unveil.harness.plan.file import read
from unveil.harness.plan.plugins import use_of
from unveil.harness.words.errors import PlanError, PluginError

PLAN = {
    "title": "From a dictionary <b>",
    "pictures": 1,
    "recipe": {"epochs": 2, "batch": 16},
    "data": {"use": "blobs.py:Blobs"},
    "target": {"use": "small_resnet", "width": 4},
    "evaluator": {"use": "plain_cnn", "width": 4},
    "defenses": ({"use": "none"}, {"use": "ls", "alpha": -0.1}),
    "attacks": [{"use": "guess.py:Guess"}],
    "metrics": [{"use": "attack_accuracy"}, {"use": "utility"}],
}


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    return project


def test_a_notebook_and_the_command_line_give_the_same_rows(here):
    assert here.run().returncode == 0
    by_command = here.rows()
    results = unveil.run("tiny.toml", store="other")
    assert here.rows("other") == by_command
    again = unveil.run("tiny.toml", store="store")
    assert [row.plain() for row in again.rows] == [row.plain() for row in results.rows]
    assert stored("tiny.toml", "other").results.rows == results.rows


def test_a_plan_may_be_a_dictionary_and_an_error_is_raised(here):
    results = unveil.run(PLAN)
    assert [row.status for row in results.rows] == ["done", "done"]
    assert json.loads(results.plan)["defenses"][1] == {"use": "ls", "alpha": -0.1}
    frame = results.frame()
    assert set(frame["defense"]) == {"none", "ls"}
    top = frame[(frame.metric == "utility") & (frame.column == "top-1")]
    assert top.value.between(0, 1).all()
    assert (top.low <= top.value).all()
    assert set(frame.access.dropna()) == {"white-box"}
    with pytest.raises(PlanError, match="titel"):
        unveil.run({**PLAN, "titel": "x"})


def test_a_notebook_shows_escaped_names_and_what_failed(here):
    results = unveil.run(PLAN)
    shown = results._repr_html_()
    assert "<b>" not in shown
    assert "From a dictionary &lt;b&gt;" in shown
    assert shown.count("<tr>") == 3
    assert re.search(r"\d+\.\d % \[\d", shown)
    broken = {**PLAN, "defenses": [{"use": "trouble.py:Trouble", "fail": True}]}
    failed = unveil.run(broken)
    assert [row.status for row in failed.rows] == ["failed"]
    assert "failed: " in failed._repr_html_()
    lines = failed.frame()
    assert lines.metric.isna().all()
    assert lines.error.notna().all()


def test_a_class_stands_for_its_name_or_its_file(here, monkeypatch):
    assert use_of(LS) == "ls"
    (here.folder / "mine.py").write_text((here.folder / "guess.py").read_text())
    monkeypatch.syspath_prepend(here.folder)
    guess = importlib.import_module("mine").Guess
    assert use_of(guess) == f"{here.folder / 'mine.py'}:Guess"
    attacks = prepare({**PLAN, "attacks": [{"use": guess}]}).matrix.cells[0].nodes["attack"]
    named = prepare({**PLAN, "attacks": [{"use": "mine.py:Guess"}]}).matrix.cells[0].nodes["attack"]
    assert attacks.key == named.key


@pytest.mark.parametrize("module", ["__main__", "cell"])
def test_a_class_of_a_notebook_cell_is_refused_with_the_reason(here, module, monkeypatch):
    if module == "cell":
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    cell = type("Mine", (), {"__module__": module})
    with pytest.raises(PluginError, match=r"Mine is defined in .*code cannot be found") as refused:
        unveil.run({**PLAN, "defenses": [{"use": cell}]})
    assert "%%writefile" in refused.value.todo


def test_what_is_registered_is_listed_with_a_line():
    known = unveil.plugins()
    assert known["attacks"]["gmi"].startswith("GMI: ")
    assert set(known) == {"datasets", "models", "defenses", "priors", "attacks", "metrics"}


def test_importing_the_package_loads_nothing_heavy():
    told = (
        "import sys, unveil; assert not {'torch', 'pydantic', 'pandas'} & set(sys.modules); unveil.run; unveil.Results"
    )
    subprocess.run([sys.executable, "-c", told], check=True)
    with pytest.raises(AttributeError, match="nothing"):
        unveil.nothing  # noqa: B018


def test_a_plan_that_was_read_can_be_run(here):
    file = read("tiny.toml")
    assert prepare(file).file is file
