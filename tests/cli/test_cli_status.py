"""The status that a run ends with says whether anything that was asked for is left undone, whatever was done."""

import pytest
from typer.testing import CliRunner

from unveil.cli.app import app
from unveil.harness.steps import picture

PLAN = """
title = "Tiny"
pictures = 1
data = { use = "blobs.py:Blobs" }
recipe = { epochs = 1 }
target = { use = "small_resnet", width = 4 }
defenses = [{ use = "none" }]
attacks = [{ use = "guess.py:Guess", name = "guess" }]
"""
UTILITY = "metrics = [{ use = 'utility' }]"
ASKED = "metrics = [{ use = 'utility' }, { use = 'verification', questions = 10, comparer = "
LANGUAGE = "{ use = 'multimodal_llm', url = 'http://127.0.0.1:9/v1', model = 'none', tries = 1, send = true } }]"
JUDGES = """
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
import numpy as np
from unveil.harness.types import AwayError, Comparer, UnansweredError
from unveil.harness.words.errors import AssetError, JudgeError


@dataclass(frozen=True)
class Judge(Comparer):
    yes_or_no: ClassVar[bool] = True
    how: str = "answers"

    def content(self):
        return {}

    def compare(self, pictures, people, pairs, run):
        if self.how == "away" and not Path("back").exists():
            raise AwayError("the judge is away", "an answer", "wait")
        if self.how == "unanswered":
            raise UnansweredError("nobody has answered yet")
        if self.how == "lacks":
            raise AssetError("its weights cannot be had", "weights", "fetch them")
        if self.how == "refuses":
            raise JudgeError("it will not look at these", "other pictures", "ask another")
        return np.arange(len(pairs)) % 2.0
"""


def own(how):
    return f"{ASKED}{{ use = 'judges.py:Judge', how = '{how}' }} }}]"


@pytest.fixture
def run(project, monkeypatch):
    """Runs the plan with such metrics, here; gives status and what was said."""
    monkeypatch.chdir(project.folder)
    (project.folder / "judges.py").write_text(JUDGES)

    def ran(metrics, *words):
        (project.folder / "plan.toml").write_text(f"{metrics}\n{PLAN}")
        done = CliRunner().invoke(app, ["run", "plan.toml", *(words or ("--mlflow", "off"))])
        return done.exit_code, done.output

    return ran


@pytest.mark.parametrize(
    ("metrics", "status", "said"),
    [
        (ASKED + LANGUAGE, 1, "127.0.0.1"),
        (own("lacks"), 1, "weights cannot be had"),
        (own("refuses"), 1, "it will not look at these"),
        (own("unanswered"), 0, "0 known before\n"),  # who answers in their own time leaves no step undone
        (own("answers"), 0, "0 known before\n"),
    ],
)
def test_a_judge_who_does_not_answer(metrics, status, said, run):
    ended, output = run(metrics)
    assert ended == status, output
    assert said in output


def test_a_judge_who_was_away_is_asked_again(run, project):
    first, said = run(own("away"))
    assert first == 1
    assert "1 unscored" in said
    again, _ = run(own("away"))
    assert again == 1, "nothing is computed, and still a number is missing"
    (project.folder / "back").touch()
    assert run(own("away"))[0] == 0


def test_a_picture_that_cannot_be_drawn(run, monkeypatch):
    def broken(*_):
        raise ValueError("no ink")

    monkeypatch.setattr(picture, "compute", broken)
    status, said = run(UTILITY)
    assert (status, "no ink" in said) == (1, True)


def test_a_page_that_cannot_be_written(run, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unveil.cli.runs.render_page", full)
    assert run(UTILITY)[0] == 2


def test_mlflow_that_is_down_loses_nothing(run):
    """Documented as a warning: all results are in the store, and `unveil log` puts them there later."""
    status, said = run(UTILITY, "--mlflow", "http://127.0.0.1:9")
    assert status == 0, said
    assert "warning" in said
