"""``unveil data``, and what a run says of its data."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unveil.cli.app import app
from unveil.harness.figures.rows import Results
from unveil.leaderboard.page import render

PLAN = """
title = "Mine"
identities = 9
defenses = [{ use = "none" }]
metrics = [{ use = "utility" }]
[data]
use = "folder"
private = "private"
public = "public"
size = 16
[recipe]
epochs = 1
views = 0
[target]
use = "small_resnet"
width = 4
[evaluator]
use = "plain_cnn"
others = "nobody"
recipe = { epochs = 1 }
[[attacks]]
use = "held_out_private"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two private people with a copy, one without pictures, and public people."""
    rng = np.random.default_rng(0)
    for name in ("private/ann", "private/bob", "private/no[b]ody", "public/eve", "public/fay"):
        (tmp_path / name).mkdir(parents=True)
        for k in range(0 if "no[b]ody" in name else 5):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / name / f"{k}.png")
    (tmp_path / "private/ann/9.png").write_bytes((tmp_path / "private/ann/0.png").read_bytes())
    (tmp_path / "mine.toml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def size(file):
    with Image.open(file) as picture:
        return picture.size


def call(*arguments, code=0):
    done = CliRunner().invoke(app, [*arguments, "--store", "store"])
    assert done.exit_code == code, done.output
    return done


def test_data_shows_the_table_and_draws_a_sheet_without_training(place):
    done = call("data", "mine.toml")
    for words in ("no[b]ody: empty", "identical pixels", "ann/9.png", "by name: none of the 2 private people"):
        assert words in done.stdout
    assert re.search(r"train +│ 2 +│ 6 ", done.stdout)
    assert "1 steps: 1 computed now" in done.stderr
    (sheet,) = Path("store/data").iterdir()
    assert size(sheet)[0] > 9 * 16
    (told,) = json.loads(call("data", "mine.toml", "--json", "--out", "here.png").stdout)
    assert told["account"]["people"]["ann"] == [3, 1, 1]
    assert size("here.png") == size(sheet)


def test_data_fails_as_a_run_does(place):
    (place / "private/bob/bad.png").write_bytes(b"")
    assert "bad.png" in call("data", "mine.toml", code=1).stderr


def test_a_run_tells_what_was_not_read_whenever_it_appeared_and_the_page_without_names(place):
    said = call("run", "mine.toml", "--mlflow", "off", code=1).stderr  # so few pictures teach no judge
    assert "copies of a picture that is used (identical pixels): 1 (ann/9.png)" in said
    assert "identities = 9, but there are 2 private people" in said
    (place / "private/zed").mkdir()
    again = call("run", "mine.toml", "--mlflow", "off", code=1).stderr
    assert "0 computed now" in again
    assert "2 (no[b]ody: empty, zed: empty)" in again
    results = Results.model_validate_json(Path("store/reports/mine/results.json").read_text())
    assert all("the plan asks for 9" in row.notes[0] for row in results.rows)
    page, private = render(results), render(results, private_pictures=True)
    assert "identical pixels" in page
    assert "ann/" not in page
    assert "zed:" not in page
    assert "zed: empty" in private
