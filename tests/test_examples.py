"""The examples and presets are plans that can run, and the example on real faces does run, on drawn ones."""

import csv
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
import yaml
from PIL import Image

from unveil.cli.app import app
from unveil.harness.assets.fetch import path
from unveil.harness.plan.file import PlanFile, parse, presets, read
from unveil.harness.running.matrix import expand
from unveil.harness.words.errors import AssetError

EXAMPLE = Path(__file__).parent.parent / "examples" / "real_faces.toml"


@pytest.mark.parametrize("name", [name for name in presets() if "/" not in name])  # they bring their data
def test_presets_expand(name: str) -> None:
    matrix = expand(read(name))
    assert len(matrix.cells) == len({cell.defense for cell in matrix.cells}) * len({c.attack for c in matrix.cells}) > 5
    assert {cell.attack for cell in matrix.cells} >= {"gmi", "kedmi", "random_latents"}


def test_the_notebook_runs(tmp_path: Path, monkeypatch, capsys) -> None:
    """Cell after cell, as somebody new would."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE.parent / "notebook.py"))
    told = capsys.readouterr().out
    assert "random_latents" in told
    assert "['ls', 'none', 'tl_dmi']" in told


def faces(folder: Path, people: int, pictures: int, first: int) -> list[dict[str, str]]:
    """Coloured squares as JPEGs of some sizes, and the CSV lines that name them."""
    lines = []
    for person in range(first, first + people):
        own = torch.Generator().manual_seed(person)
        colour = torch.rand(3, 1, 1, generator=own)
        for number in range(pictures):
            side = 40 + 8 * (number % 3)
            pixels = (colour + 0.1 * torch.rand(3, side, side, generator=own)).clamp(0, 1) * 255
            file = folder / f"{person:03d}" / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.byte().permute(1, 2, 0).numpy()).save(file)
            lines.append({"file": f"{folder.name}/{person:03d}/{number}.jpg", "identity": f"person {person}"})
    return lines


def table(file: Path, lines: list[dict[str, str]]) -> None:
    with file.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


@pytest.mark.slow
def test_the_example_on_real_faces_runs(project, tmp_path: Path) -> None:
    """The plan as it is, but for its sizes, and its stacks: their parts are in it."""
    try:
        for name in ("efficientnet-lite0", "mobilestylegan", "fr_feature", "faceres"):
            path(name)
    except AssetError as error:
        pytest.skip(str(error))
    root = tmp_path / "faces"
    root.mkdir()
    table(root / "private.csv", faces(root / "private", 3, 20, 0))
    table(root / "public-lfw-rest.csv", faces(root / "public-lfw-rest", 12, 6, 100))
    small = re.sub(r"epochs = \d+", "epochs = 2", EXAMPLE.read_text())  # ls needs two
    small = re.sub(r"steps = \d+", "steps = 2", small)
    small = re.sub(r"width = \d+, ", "width = 4, batch = 4, samples = 8, ", small)
    small = re.sub(r"views = \d+", "views = 2", small.replace("size = 128", "size = 64"))
    small = small.replace("candidates = 6", "candidates = 3\npool = 8")
    small = re.sub(r"\[\[defenses\]\]\nuse = \[(?s:.*?)(?=\n\[\[)", "", small)
    (project.folder / "tiny.toml").write_text(small)
    done = project.run()
    assert done.returncode == 0, done.stderr
    assert {row["status"] for row in json.loads(project.rows())} == {"done"}
    page = (project.folder / "store/reports/tiny/leaderboard.html").read_text()
    assert "data:image/png" not in page  # people in a folder are real until somebody says otherwise


def test_the_example_on_real_faces_is_a_plan() -> None:
    text = EXAMPLE.read_text()
    plan = parse(text, EXAMPLE.name)
    assert PlanFile(plan, text, EXAMPLE.parent, "real_faces").plan.defenses[1].label == "tl_dmi"


SUBMISSIONS = EXAMPLE.parent / "submissions"


def test_the_workflow_for_submissions_is_one_and_its_commands_exist() -> None:
    workflow = yaml.safe_load((SUBMISSIONS / ".github" / "workflows" / "submissions.yml").read_text())
    assert {"pull_request", "push"} <= set(workflow[True])  # YAML takes `on` for true
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step.get("run", "") for step in workflow["jobs"]["check"]["steps"]]
    assert "bash check.sh submissions standings" in steps
    script = (SUBMISSIONS / "check.sh").read_text()
    (line,) = [line for line in script.splitlines() if line.strip().startswith("unveil ")]
    words = shlex.split(line.split(" > ")[0])
    command = typer.main.get_command(app).commands[words[1]]
    command.make_context(words[1], words[2:])
    form = yaml.safe_load((SUBMISSIONS / ".github" / "ISSUE_TEMPLATE" / "submission.yml").read_text())
    assert {part["type"] for part in form["body"]} <= {"markdown", "input", "dropdown", "textarea", "checkboxes"}


def test_the_script_for_submissions_tells_good_from_bad(tmp_path: Path) -> None:
    """A file that is no bundle is refused, by a name that is no Markdown, and the others are checked all the same."""
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "a|b`c.zip").write_bytes(b"no zip")
    called = subprocess.run(
        ["bash", str(SUBMISSIONS / "check.sh"), "submissions", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert called.returncode == 1
    assert "| abc.zip | **refused" in called.stdout
    assert "is no bundle, or damaged" in called.stderr


def test_the_workflow_publishes_what_the_command_makes() -> None:
    """Every unveil command in it can be given, and the folder that is published is the one that is made."""
    told = yaml.safe_load((EXAMPLE.parent / "pages.yml").read_text(encoding="utf-8"))
    steps = told["jobs"]["build"]["steps"]
    lines = [shlex.split(step["run"]) for step in steps if step.get("run", "").startswith("unveil")]
    (made,) = [typer.main.get_command(app).commands["board"].make_context("board", line[2:]).params for line in lines]
    (uploaded,) = [step["with"]["path"] for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert made["site"] == uploaded
    assert told["permissions"] == {}
    assert told["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
