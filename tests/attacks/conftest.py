"""Tiny targets and priors whose right answers are known."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, ConditionalGenerator, Generator, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

SHAPE = (1, 2, 3)


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"attacks_{name}", Path(__file__).parent / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORLDS = _beside("worlds")


@pytest.fixture(scope="session")
def worlds() -> ModuleType:
    """Every registered attack in a tiny world of its own."""
    return WORLDS


@pytest.fixture(params=list(WORLDS.CASES))
def case(request: pytest.FixtureRequest) -> Any:
    """Each of them."""
    return WORLDS.CASES[request.param]


class LinearPrior(Generator):
    """Pixels are .5 + .1 z; realism falls with the square of z, so that every loss has one finite optimum."""

    latent = 6

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def synthesize(self, z: Tensor) -> Tensor:
        return 0.5 + self.scale * z.view(-1, *SHAPE)

    def realism(self, x: Tensor) -> Tensor:
        return -((x - 0.5) / self.scale).square().flatten(1).sum(1)


class StylePrior(Generator):
    """Styles are the leaky latents, in three equal rows; pixels are .5 + .1 times the mean row. Invertible."""

    shape = (1, 4, 4)
    latent, num_ws, w_dim = 16, 3, 16

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        w = nn.functional.leaky_relu(z, 0.2)[:, None].repeat(1, self.num_ws, 1)
        w[:, :cutoff] *= psi
        return w

    def synthesize_w(self, w: Tensor) -> Tensor:
        assert w.shape[1:] == (self.num_ws, self.w_dim)
        return 0.5 + 0.1 * w.mean(1).view(-1, *self.shape)

    def synthesize(self, z: Tensor) -> Tensor:
        return self.synthesize_w(self.map(z))


class Canvas(ConditionalGenerator):
    """Pixels are .5 + .2 z + .1 y: every pixel its own latent."""

    shape = (3, 8, 8)
    latent = 3 * 8 * 8

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:
        return 0.5 + 0.2 * z.view(-1, *self.shape) + 0.1 * y.view(-1, 1, 1, 1)


def linear_target(shape: tuple[int, int, int] = SHAPE, classes: int = 3) -> Classifier:
    length = shape[0] * shape[1] * shape[2]
    with seeded(Run("0")):
        head = nn.Linear(length, classes)
    g = torch.Generator().manual_seed(5)
    with torch.no_grad():
        head.weight.copy_(torch.randn(classes, length, generator=g) * (8 / length**0.5))
        head.bias.zero_()
    return Classifier({"flat": nn.Flatten()}, head, classes=classes, mean=(0.5,) * shape[0], std=(1.0,) * shape[0])


@pytest.fixture
def target() -> Classifier:
    return linear_target()


@pytest.fixture
def view(target: Classifier) -> View:
    return View(target, Access.WHITE_BOX, SHAPE)


@pytest.fixture
def ingredients() -> Ingredients:
    return Ingredients(LinearPrior(), Images(torch.zeros(1, *SHAPE), torch.tensor([-1])))


@pytest.fixture
def style_target() -> Classifier:
    return linear_target(StylePrior.shape)


@pytest.fixture
def styled() -> Ingredients:
    return Ingredients(StylePrior(), Images(torch.zeros(1, *StylePrior.shape), torch.tensor([-1])))


@pytest.fixture
def canvas() -> Ingredients:
    return Ingredients(Canvas(), Images(torch.zeros(1, *Canvas.shape), torch.tensor([-1])))


@pytest.fixture
def painted() -> Classifier:
    """A target whose logits are linear in pixels."""
    head = nn.utils.skip_init(nn.Linear, 192, 3)
    with torch.no_grad():
        head.weight.copy_(torch.randn(3, 192, generator=torch.Generator().manual_seed(3)))
        head.bias.zero_()
    return Classifier({"flat": nn.Flatten()}, head, classes=3, std=(1.0,) * 3)


@pytest.fixture
def student() -> Callable[[int], Classifier]:
    """Makes students: logits ``W (x - .5)``, with another W for each seed."""

    def made(seed: int) -> Classifier:
        with seeded(Run("student")):
            head = nn.Linear(6, 3, bias=False)
        head.weight.data = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed)) * 3
        return Classifier({"flat": nn.Flatten()}, head, classes=3, mean=(0.5,), std=(1.0,))

    return made


@pytest.fixture
def run() -> Run:
    return Run("test")


class KillAt:
    """A progress bar that kills the run at its n-th move."""

    def __init__(self, moves: int) -> None:
        self.left = moves

    def start(self, label: str, total: int) -> KillAt:
        return self

    def stop(self, bar: object) -> None:
        """Nothing to close."""

    def advance(self, steps: int = 1, **values: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Run, Run]]:
    """A run that is killed at about its 5th step, checkpointing all the time, and the one that takes over."""
    monkeypatch.setattr("unveil.attacks.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    return Run("test", scratch=tmp_path, shown=KillAt(6)), Run("test", scratch=tmp_path)


@pytest.fixture(autouse=True)
def global_rng_untouched() -> Iterator[None]:
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "something drew from torch's global generator"
