"""Somebody else's package, installed with pip, takes part in everything."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unveil.harness.conformance import check

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def unveil(tmp_path_factory):
    """Calls the command line in an environment where the outsider is installed."""
    folder = tmp_path_factory.mktemp("outsider")
    shutil.copytree(HERE / "package", folder / "package")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    where = ["--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "package")]
    subprocess.run([*pip, *where], check=True, timeout=120)
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(folder / "site"), *([known] if known else [])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def call(*arguments, cwd=HERE):
        command = [sys.executable, "-m", "unveil", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, check=False
        )

    return call


def test_it_is_listed_with_its_origin(unveil):
    listed = {(p["kind"], p["name"]): p for p in json.loads(unveil("list", "--json").stdout)}
    assert listed["defenses", "outsider"]["origin"] == "unveil-outsider 1.2.3"
    assert listed["defenses", "outsider"]["line"] == "Adds Gaussian noise to the training pictures."
    assert listed["defenses", "none"]["origin"].startswith("unveil ")


def test_it_conforms(unveil):
    done = unveil("check", "outsider", "--json")
    report = json.loads(done.stdout)
    assert report["ok"], [finding for finding in report["findings"] if finding["ok"] is False]
    assert done.returncode == 0
    assert report["origin"] == "unveil-outsider 1.2.3"


def test_it_runs_in_the_matrix_to_a_leaderboard(unveil, tmp_path):
    done = unveil("run", "plan.toml", "--store", str(tmp_path), "--mlflow", "off", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["defense"], row["attack"]) for row in rows] == [
        (defense, attack) for defense in ("none", "outsider", "outsider at zero") for attack in ("gmi", "outsider_mean")
    ]
    assert {row["status"] for row in rows} == {"done"}
    numbers = {
        (row["defense"], row["attack"]): {f["metric"] + f["column"]: f["value"] for f in row["figures"]} for row in rows
    }
    for attack in ("gmi", "outsider_mean"):  # noise of no strength is no defense, whole matrix through
        assert numbers["outsider at zero", attack] == numbers["none", attack]
        assert numbers["outsider", attack] != numbers["none", attack]
        assert 0 < numbers["none", attack]["outsider_brightnessmean"] < 1
    page = (tmp_path / "reports" / "plan" / "leaderboard.html").read_text()
    assert "outsider at zero" in page
    again = unveil("run", "plan.toml", "--store", str(tmp_path), "--mlflow", "off", "--json")
    assert json.loads(again.stdout) == rows
    assert " 0 computed now" in again.stderr


@pytest.mark.parametrize(
    "use", ["noise.py:InputNoise", "brightness.py:Brightness", "mean.py:MeanPicture", "blobs.py:Blobs"]
)
def test_its_files_are_plugins_without_being_installed(use):
    report = check(use, base=HERE / "package" / "src" / "unveil_outsider")
    assert report.ok, str(report)
    assert report.origin == "a file"
