"""Blocks of code in the documentation do what they say, block after block, as somebody would who reads a page.

What they run is small: the preset ``quick`` and the plan ``mine.toml`` are a plan of a second here.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unveil.cli.app import app
from unveil.harness.plan import file as plan_file

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"(?ms)^```(python|toml|sh)(?: title=\"([^\"]+)\")?\n(.*?)^```")
ELSEWHERE = {
    "docs/mlflow.md": "tests/harness/running/test_tracking.py",  # needs a store that was logged
    "docs/audit.md": "tests/test_audit_of_a_model.py",  # needs a trained model
}
SLOW = {"docs/pools.md", "docs/tutorials/audit.md"}  # starts processes; trains and audits a network
CHEAP = {"list", "new", "check", "assets"}  # commands that are run; that the others exist is tested in test_docs.py

PYTHON = [
    pytest.param(page, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
    for page in PAGES
    if any(kind == "python" and not title for kind, title, _ in BLOCK.findall(page.read_text(encoding="utf-8")))
    if (name := page.relative_to(ROOT).as_posix()) not in ELSEWHERE
]
SHELL = [page for page in PAGES if "```sh" in page.read_text(encoding="utf-8")]


@pytest.fixture
def desk(project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a small plan as ``mine.toml`` and as the preset ``quick``."""
    project.edit("tiny.toml", 'use = "trouble.py:Trouble"\nname = "trouble"', 'use = "ls"')
    small = (project.folder / "tiny.toml").read_text(encoding="utf-8")
    presets = project.folder / "presets"
    presets.mkdir()
    shutil.copy(ROOT / "harness" / "presets" / "timings.json", presets)
    for file in (presets / "quick.toml", project.folder / "mine.toml"):
        file.write_text(small, encoding="utf-8")
    monkeypatch.setattr(plan_file, "PRESETS", presets)
    monkeypatch.chdir(project.folder)
    return project.folder


@pytest.mark.parametrize("page", PYTHON)
def test_python_runs_in_its_order(page: Path, desk: Path) -> None:
    names: dict[str, object] = {"__name__": "documentation"}
    for number, (kind, title, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
        if title:
            (desk / title).write_text(text, encoding="utf-8")
        elif kind == "sh":
            for script in re.findall(r"(?m)^python (examples/\S+)$", text):
                subprocess.run([sys.executable, str(ROOT / script)], check=True)
        elif kind == "python":
            exec(compile(text, f"{page.name}, block {number}", "exec"), names)


def test_pages_that_are_run_elsewhere_are() -> None:
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", SHELL, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_cheap_commands_succeed(page: Path, desk: Path) -> None:
    for kind, title, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if title:
            (desk / title).write_text(text, encoding="utf-8")
        for words in (
            shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines() if kind == "sh"
        ):
            if words[:1] == ["unveil"] and words[1] in CHEAP and not of_no_file(words):
                done = CliRunner().invoke(app, words[1:])
                assert done.exit_code == 0, (words, done.output)


def of_no_file(words: list[str]) -> bool:
    """A check of a plugin of the package, which tests/contract runs, or of one that the page does not show."""
    return words[1] == "check" and not Path(words[2].partition(":")[0]).is_file()


def test_plugins_that_pages_have_one_write_are_checked_there() -> None:
    for page in PAGES:
        found = BLOCK.findall(page.read_text(encoding="utf-8"))
        shell = "\n".join(text for kind, _, text in found if kind == "sh")
        for kind, title, text in found:
            if kind == "python" and title:
                (cls,) = re.findall(r"(?m)^class (\w+)", text)
                assert f"unveil check {title}:{cls}" in shell, page
