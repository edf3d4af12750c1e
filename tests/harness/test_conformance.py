import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from unveil.cli.app import app
from unveil.harness.conformance import check, kind_of
from unveil.harness.conformance.shrink import shrunk
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import Spec

HERE = Path(__file__).parent

BREACHES = {
    "Undocumented": ("says what it is", "has no docstring"),
    "Unexplained": ("explains its settings", "does not explain strength"),
    "Unequal": ("can be sent to another process", "not equal"),
    "Endless": ("has an identity", "cannot be hashed"),
    "GlobalNoise": ("global random numbers are left alone", "of torch"),
    "InPlace": ("inputs are left alone", "pixels of the batch"),
    "OutOfRange": ("augment keeps pictures pictures", "range from -"),
    "VectorLoss": ("hooks can be called", "loss term 'features' is of shape (8,)"),
    "Thaws": ("what it freezes stays frozen", "stages.stem"),
    "NeverZero": ("strength zero is no defense", "bit for bit"),
    "Forgetful": ("checkpoints can be loaded", "differs by"),
    "Wavering": ("it is the same target whoever loads it", "when the attack asks it"),
    "Veils": ("says that it changes answers alone", "does not say so"),
    "Raises": ("hooks can be called", "it raised ZeroDivisionError"),
    "Prints": ("prints nothing", "'preparing ...'"),
    "Remembers": ("same seed gives the same answer", "augmented"),
    "OwnSeed": ("another seed gives another answer", "another seed gives the same answer"),
    "Greedy": ("reconstructs everybody with the access it declares", "asked for logits"),
    "Lazy": ("reconstructs everybody with the access it declares", "3 people instead of the 4"),
    "Coupled": ("other labels do not matter", "differ by 0.2"),
    "NotANumber": ("columns are well formed", "not finite"),
    "FirstOnly": ("order does not matter", "in another order"),
    "Twins": ("measures something", "['mean', 'mean']"),
    "Leaks": ("no picture is in two parts", "in both train and test"),
    "FromOne": ("private labels count from zero", "train has labels [1, 2, 3, 4]"),
    "Centred": ("pictures do not see each other", "with its batch"),
    "Sniffs": ("batch norms can be folded", "logits change by"),
    "Hides": ("weights can be stored", "answers differently"),
    "Mixes": ("samples do not see each other", "picture of a sample"),
    "Mum": ("says what pretrained weights have seen", "reads file from outside, and does not say"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_is_named(name):
    finding, words = BREACHES[name]
    state = torch.random.get_rng_state()
    report = check(f"misbehaving.py:{name}", base=HERE)
    failures = {failure.name: failure.detail for failure in report.failures}
    assert finding in failures, str(report)
    assert words in failures[finding]
    assert not report.ok
    assert torch.equal(torch.random.get_rng_state(), state)  # a check leaves no trace either


def test_a_raising_plugin_is_told_the_line():
    report = check("misbehaving.py:Raises", base=HERE)
    lines = (HERE / "misbehaving.py").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "1 // 0" in text)
    assert f"misbehaving.py, line {line})" in report.failures[0].detail
    assert len(report.failures) == 1  # what needs the hooks is left out, not blamed once more


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Raises", "defenses"), ("Lazy", "attacks"), ("Mixes", "priors"), ("Hides", "models"), ("Leaks", "datasets")],
)
def test_the_kind_of_a_class_is_found_out(name, kind):
    assert kind_of(f"misbehaving.py:{name}", HERE) == kind


def test_a_class_of_no_kind_is_refused():
    with pytest.raises(PluginError, match="not a frozen dataclass"):
        kind_of("misbehaving.py:Scale", HERE)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(PluginError, match="did you mean 'tl_dmi'"):
        check("tl_dni")


def test_a_missing_required_setting_is_no_fault_of_the_plugin():
    with pytest.raises(PluginError, match="--set architecture="):
        check("timm")


def test_what_needs_an_asset_that_cannot_be_had_is_skipped(monkeypatch, tmp_path):
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    report = check("mnist")
    skipped = {finding.name: finding.detail for finding in report.findings if finding.ok is None}
    assert "needs an asset that cannot be had here" in skipped["loads pictures"]
    assert report.ok


PLUGIN = """
from dataclasses import dataclass
from typing import Annotated
from pydantic import Field
from unveil.harness.types import Defense

@dataclass(frozen=True)
class Big(Defense):
    steps: int = 500
    inner_steps: Annotated[int, Field(ge=10)] = 40
    epochs: int = 1
    batch: int = 64
    flip: bool = True
    lr: float = 5.0
"""


def test_only_what_decides_the_cost_is_lowered(tmp_path):
    (tmp_path / "big.py").write_text(PLUGIN)
    small = dataclasses.asdict(shrunk("defenses", Spec("big.py:Big"), tmp_path))
    assert small == {"steps": 3, "inner_steps": 40, "epochs": 1, "batch": 8, "flip": True, "lr": 5.0}
    kept = shrunk("defenses", Spec("big.py:Big", {"steps": 70}), tmp_path)
    assert kept.steps == 70  # asked for, so kept


def test_the_command(monkeypatch):
    monkeypatch.chdir(HERE)
    good = CliRunner().invoke(app, ["check", "tl_dmi", "--set", "freeze=stage2", "--json"])
    assert good.exit_code == 0
    report = json.loads(good.stdout)
    assert report["ok"]
    assert {"name": "what it freezes stays frozen", "ok": True, "detail": ""} in report["findings"]
    bad = CliRunner().invoke(app, ["check", "misbehaving.py:Raises", "--kind", "defense"])
    assert bad.exit_code == 1
    assert "ZeroDivisionError" in bad.stdout
    assert "does not conform: 1 of" in bad.stdout


def test_the_command_refuses_an_unknown_kind():
    done = CliRunner().invoke(app, ["check", "gmi", "--kind", "atacks"])
    assert done.exit_code == 2
    assert "did you mean 'attacks'" in done.stderr


def test_a_narrow_network_survives_two_threads():
    """A strided 1x1 convolution of few channels once crashed the process in its backward pass."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "unveil", "check", "small_resnet", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
