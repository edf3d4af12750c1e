"""A project of a few tiny plugin files that runs from data to page in about a second."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unveil.harness.assets import fetch as assets

# doctest would import them: they are for a process of their own, or for tests that load them
collect_ignore = ["elsewhere.py", "another_device.py", "elsewhere_models.py", "published_trees.py"]

DATA = '''
"""Blobs of colour."""
from dataclasses import dataclass
import torch
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.types import Data, Run


def draw(people, first, pictures):
    parts, labels = [], []
    for person in range(first, first + people):
        own = torch.Generator().manual_seed(person)
        colour = torch.rand(3, 1, 1, generator=own)
        parts.append(colour + 0.1 * torch.randn(pictures, 3, 16, 16, generator=own))
        labels += [person - first] * pictures
    pixels = (torch.cat(parts).clamp(0, 1) * 255).round().to(torch.uint8)
    names = tuple(f"person {person}" for person in range(first, first + people))
    return Pictures(pixels, torch.tensor(labels), names)


@dataclass(frozen=True)
class Blobs:
    """Blobs of colour, one colour a person."""

    people: int = 3

    def content(self):
        return {}

    def load(self, run: Run) -> Data:
        return assemble(draw(self.people, 0, 12), draw(5, 100, 6), Shares(0.2, 0.2, 0), publishable=True)
'''

ATTACK = '''
"""A guess in one step."""
from dataclasses import dataclass
from typing import ClassVar
import torch
from unveil.harness.types import Access, Images, draw_normal


@dataclass(frozen=True)
class Guess:
    """One gradient step from grey."""

    samples: int = 2
    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        keys = [(int(y), i) for y in labels for i in range(self.samples)]
        wanted = torch.tensor([y for y, _ in keys])
        x = (0.5 + 0.1 * draw_normal(run.generators("x", keys), view.shape)).requires_grad_(True)
        chosen = view.logits(x).gather(1, wanted[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, x)
        return Images((x.detach() + 5 * slope).clamp(0, 1), wanted)
'''

# Misbehaves the first time only: what it should do then is in the environment
DEFENSE = '''
"""Trouble."""
import os, signal
from dataclasses import dataclass
from pathlib import Path
from unveil.harness.types import Defense


@dataclass(frozen=True)
class Trouble(Defense):
    """Does nothing, or something bad in the second epoch."""

    nan: bool = False
    fail: bool = False

    def loss(self, terms, step):
        if self.nan:
            return {"ce": terms["ce"] * float("nan")}
        if self.fail:
            raise ValueError("the plugin is broken")
        marker = Path(os.environ.get("TROUBLE", __file__))
        if step.epoch == 1 and not marker.exists():
            marker.touch()
            if os.environ["TROUBLE_HOW"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        return terms
'''

PLAN = """
title = "Tiny"
pictures = 2
[data]
use = "blobs.py:Blobs"
[recipe]
epochs = 3
batch = 16
[target]
use = "small_resnet"
width = 4
[[evaluators]]
use = "plain_cnn"
name = "judge"
width = 4
[[defenses]]
use = "none"
[[defenses]]
use = "trouble.py:Trouble"
name = "trouble"
[[attacks]]
use = "guess.py:Guess"
name = "guess"
[[metrics]]
use = "attack_accuracy"
[[metrics]]
use = "utility"
"""


class Project:
    """The files in a folder, and the command line called in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in {"blobs.py": DATA, "guess.py": ATTACK, "trouble.py": DEFENSE, "tiny.toml": PLAN}.items():
            (folder / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-m", "unveil", *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=900, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **environment},
        )  # fmt: skip

    def run(self, store: str = "store", mlflow: str = "off", **environment: str) -> subprocess.CompletedProcess[str]:
        return self.call("run", "tiny.toml", "--store", store, "--mlflow", mlflow, **environment)

    def rows(self, store: str = "store") -> bytes:
        return (self.folder / store / "reports" / "tiny" / "rows.json").read_bytes()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where FaceNet's weights are placed by hand, in an empty cache."""
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path / "cache"))
    place = assets.ASSETS["facenet"].place
    place.parent.mkdir(parents=True)
    return place


@pytest.fixture(scope="session")
def made_faces():
    """What makes small trees with the file formats of published data sets."""
    return _beside("made_faces")


@pytest.fixture(scope="session")
def published_trees(made_faces):
    """What makes what the published presets need, from such trees."""
    module = _beside("published_trees")
    module.faces = made_faces
    return module


def _beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
