"""A project that has been run, and a way to call any command in copies of it."""

import importlib.util
import os
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("forks", Path(__file__).with_name("forks.py"))
forks = importlib.util.module_from_spec(spec)
sys.modules["forks"] = forks
spec.loader.exec_module(forks)

DATA = '''
"""Blobs of colour."""
from dataclasses import dataclass
import torch
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.types import Data, Run


def draw(people, first, pictures):
    own = [torch.Generator().manual_seed(person) for person in range(first, first + people)]
    pixels = torch.cat([
        torch.rand(3, 1, 1, generator=g) + 0.1 * torch.randn(pictures, 3, 16, 16, generator=g) for g in own
    ])
    labels = torch.arange(people).repeat_interleave(pictures)
    names = tuple(f"person {person}" for person in range(first, first + people))
    return Pictures((pixels.clamp(0, 1) * 255).round().to(torch.uint8), labels, names)


@dataclass(frozen=True)
class Blobs:
    """Blobs of colour, one colour a person."""

    def content(self):
        return {}

    def load(self, run: Run) -> Data:
        return assemble(draw(3, 0, 12), draw(5, 100, 6), Shares(0.2, 0.2, 0), publishable=True)
'''
ATTACK = '''
"""A guess in one step, down a loss; what else it does is in the environment, so that its code stays the same."""
import os
from dataclasses import dataclass
from typing import ClassVar
import torch
from unveil.harness.types import Access, Images, draw_normal


@dataclass(frozen=True)
class Guess:
    """One gradient step from grey."""

    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        keys = [(int(y), i) for y in labels for i in range(2)]
        wanted = torch.tensor([y for y, _ in keys])
        x = (0.5 + 0.1 * draw_normal(run.generators("x", keys), view.shape)).requires_grad_(True)
        run.keep("path pixels", (x.detach().clamp(0, 1) * 255).byte())
        run.keep("path labels", wanted)
        (slope,) = torch.autograd.grad(self.identity_loss(view.logits(x), wanted).sum(), x)
        known = {**globals(), "made": Images((x.detach() - 5 * slope).clamp(0, 1), wanted)}
        exec(os.environ.get("MOOD", ""), known)
        return known["made"]

    def identity_loss(self, o, y):
        return torch.nn.functional.cross_entropy(o, y, reduction="none")
'''
PLAN = """
title = "[red] :smile:"
pictures = 2
defenses = [{ use = "none", name = "none [a]" }, { use = "ls", name = "ls [/b] :smile:" }]
metrics = [{ use = "attack_accuracy" }, { use = "utility" }]
data = { use = "blobs.py:Blobs" }
recipe = { epochs = 2, batch = 16 }
target = { use = "small_resnet", width = 4 }
evaluator = { use = "plain_cnn", name = "judge", width = 4 }
attacks = [{ use = "guess.py:Guess", name = "guess" }]
"""


class World:
    """The folder of a project, and the command line called in it."""

    def __init__(self, server, folder: Path) -> None:
        self.server, self.folder = server, folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def __call__(self, *arguments: str, **how):
        env = {
            "UNVEIL_STORE": "store", "UNVEIL_CACHE": str(self.path("cache")), "MLFLOW_TRACKING_URI": None,
            **how.pop("env", {}),
        }  # fmt: skip
        return self.server(forks.Call(list(arguments), str(self.folder), env, **how))


@pytest.fixture(scope="session")
def server():
    made = forks.Forks()
    yield made
    made.close()


@pytest.fixture(scope="session")
def known(server, tmp_path_factory):
    """Everything is computed, and logged once."""
    world = World(server, tmp_path_factory.mktemp("known"))
    for name, text in {"blobs.py": DATA, "guess.py": ATTACK, "plan.toml": PLAN}.items():
        world.path(name).write_text(text)
    world.path("net.pkl").write_bytes(pickle.dumps({"G_ema": os.getcwd}))
    for arguments in (["run", "plan.toml"], ["fisher", "plan.toml"], ["tune", "ls", "--plan", "plan.toml"]):
        ended = world(*arguments)
        assert ended.status == 0, ended.err
    return world


def copy(known, *without: str):
    """A copy of it, to be spoilt, where everybody may read."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        shutil.copytree(known.folder, Path(name, "project"), ignore=shutil.ignore_patterns(*without))
        Path(name, "project").chmod(0o755)
        yield World(known.server, Path(name, "project"))


@pytest.fixture
def world(known):
    """The project as it was run."""
    yield from copy(known)


@pytest.fixture
def fresh(known):
    """The project before anything was run."""
    yield from copy(known, "store")
