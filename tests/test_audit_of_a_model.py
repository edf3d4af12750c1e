"""Somebody's model, from its file to the report: what the command and `unveil.audit` promise in docs/audit.md."""

import importlib.util
import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import unveil
from unveil.cli.app import app
from unveil.harness.assets import fetch
from unveil.harness.words.errors import AssetError

ROOT = Path(__file__).parent
spec = importlib.util.spec_from_file_location("elsewhere_models", ROOT / "elsewhere_models.py")
models = sys.modules["elsewhere_models"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("audited")
    models.folders(root / "private", models.PEOPLE, 8)
    models.folders(root / "public", ("una", "vic", "wes", "xia", "yan", "zoe"), 6)
    return root


def told(*words):
    return CliRunner().invoke(app, ["audit", *map(str, words)])


def test_wrong_input_is_told_before_anything_is_computed(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sides = ("--private", world / "private", "--public", world / "public")
    state = tmp_path / "model.pt"
    torch.save({"fc.weight": torch.zeros(6, 4)}, state)
    for words, says in (
        (("--model", state, *sides), "--arch"),
        (("--model", tmp_path / "none.pt", "--arch", "test_resnet", *sides), "cannot be read"),
        (("--model", state, "--arch", "test_resnett", *sides), "did you mean"),
        (("--model", state, "--arch", "test_resnet", *sides), "does not fit the model"),
        (("--model", state, "--arch", "test_resnet", *sides, "--budget", "soon"), "no time"),
        (("--model", state, "--arch", "test_resnet", "--private", tmp_path / "x", *sides[2:]), "no folder"),
    ):
        result = told(*words)
        assert (result.exit_code, says in result.stderr) == (2, True), (words, result.stderr)


@pytest.mark.slow
def test_a_model_is_audited_within_a_budget_and_known_the_second_time(world, tmp_path):
    network = models.learnt()
    sides = (world / "private", world / "public")
    options = {"arch": "test_resnet", "size": 32, "budget": "3m", "store": tmp_path / "runs", "threads": 1}
    report = unveil.audit(network, *sides, **options)
    done = {row.attack: row.status for row in report.results.rows}
    attacks = ("ppa", "mirror", "brep_mi", "random_latents", "public_lookalikes", "held_out_private")
    assert done == dict.fromkeys(attacks, "done")
    assert (report.facts.access, report.facts.classes, report.facts.accuracy) == ("white-box", 6, 1.0)
    assert [name for name, _ in report.facts.tried] == list(attacks[:3])
    assert "<iframe" in report._repr_html_()
    page = report.save(tmp_path / "report")
    assert report.summary["finding"]["sentence"] in page.read_text(encoding="utf-8")
    again = unveil.audit(network, *sides, **options)
    assert again.results.rows == report.results.rows
    assert json.loads((tmp_path / "runs/audits").glob("*.json").__next__().read_text())["people"] == 6


@pytest.mark.slow
def test_a_model_that_was_fine_tuned_in_plain_pytorch_is_audited(tmp_path, monkeypatch):
    try:
        for name in ("orl", "efficientnet-lite0"):
            fetch.path(name)
    except AssetError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fine_tune_orl.py", "5"])
    runpy.run_path(str(ROOT.parent / "examples" / "fine_tune_orl.py"))
    sides = ("--private", "orl/private", "--public", "orl/public")
    result = told(
        "--model", "orl/model.pt", "--arch", "tf_efficientnet_lite0", *sides, "--access", "labels", "--budget", "4m",
        "--out", "report", "--threads", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    facts = json.loads((tmp_path / "report" / "summary.json").read_text())["audit"]
    assert (facts["classes"], facts["order"], facts["access"]) == (30, "sorted names", "labels")
    assert facts["accuracy"] > 0.8
    assert [name for name, _ in facts["tried"]] == ["brep_mi"]
    page = (tmp_path / "report" / "audit.html").read_text(encoding="utf-8")
    assert "s01" not in page  # nobody's name
