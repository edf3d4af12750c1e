"""Moves a prior's likely pictures towards given ones: pivots where it is dense, then its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.attacks.adam import adam
from unveil.attacks.loop import resumable_steps
from unveil.attacks.mirror_white_box import ramp
from unveil.attacks.numbers import normal
from unveil.attacks.priors import gan
from unveil.attacks.priors.retuning import Asked, Lessons
from unveil.attacks.set_distances import MEASURES, Measure
from unveil.attacks.wspace import WSpace, first_styles
from unveil.harness.types import Classifier, ConditionalGenerator, Generator, Run, View
from unveil.harness.words.errors import UnveilError

SAMPLES = 600  # styles whose mean a search begins at, and whose spread its noise is measured by
LARGEST = 256  # pixels a side that distances are taken at; larger pictures are averaged down
LR = 0.01  # highest learning rate of the pivots
NOISE = 0.05  # of the styles at first, in units of their spread; none from three quarters on
QUIET = 0.75


@dataclass(frozen=True)
class Pull:
    """How pivots are searched and weights tuned.

    Attributes:
        measure: The distance.
        steps: Of the search for pivots.
        lr: Of the weights.
        realism: Weight of ``softplus(-D(x))`` while pivots are searched.
        eyes: Whose features distances are taken in; None for pixels.
    """

    measure: Measure
    steps: int
    lr: float
    realism: float
    eyes: Classifier | None = None

    def features(self, x: Tensor) -> Tensor:
        """Of pictures ``(N, C, H, W)``: ``(N, F)``."""
        if max(x.shape[-2:]) > LARGEST:
            x = F.interpolate(x, LARGEST, mode="area")
        return x.flatten(1) if self.eyes is None else self.eyes.features(x).float()


class PullLessons(Lessons):
    """Finds latents near a person's pictures, and tunes the weights so that these latents draw such pictures.

    Args:
        pull: How.
    """

    def __init__(self, pull: Pull) -> None:
        self._pull = pull

    def asks(self, pictures: int) -> Asked:  # noqa: ARG002 (as all lessons)
        """Nothing."""
        return Asked()

    def tune(self, prior: Generator, x: Tensor, y: int, view: View, run: Run, steps: int) -> None:
        """Tunes all weights that a picture of a fixed latent depends on: a mapping network stays as it is."""
        drawn, wanted = _Drawn(prior, view.shape, y), self._pull.features(x).detach()
        w = self._pivots(drawn, wanted, run)
        prior.requires_grad_(True)
        optimiser = gan_adam(prior, self._pull.lr)

        def step(i: int) -> Mapping[str, float]:  # noqa: ARG001 (as training steps)
            return {"distance": gan.descend(optimiser, self._distance(drawn.pictures(w), wanted))}

        gan.train(run, "tuning", steps, {"prior": prior, "adam": optimiser}, step)
        prior.eval().requires_grad_(False)

    def _distance(self, x: Tensor, wanted: Tensor) -> Tensor:
        return MEASURES[self._pull.measure](self._pull.features(x), wanted)

    def _pivots(self, drawn: _Drawn, wanted: Tensor, run: Run) -> Tensor:
        """One latent for each wanted picture ``(k, w_dim)``, from the mean of many."""
        mean, spread = drawn.usual(run)
        keys, noise = [(i,) for i in range(len(wanted))], normal(run, "pivot noise", len(mean))
        w = mean.repeat(len(wanted), 1)
        state = {"w": w, "m": torch.zeros_like(w), "s": torch.zeros_like(w)}

        def restore(saved: Mapping[str, Any]) -> None:
            state.update({name: value.to(run.device) for name, value in saved.items()})

        for t, bar in resumable_steps(run, "pivots", self._pull.steps, lambda: state, restore):
            share = t / self._pull.steps
            loose = NOISE * spread * max(0.0, 1 - share / QUIET) ** 2
            w = state["w"].requires_grad_(True)
            loss = self._searched(drawn.pictures(w + loose * noise.at(keys, t)), drawn, wanted)
            (g,) = torch.autograd.grad(loss, w)
            state["w"], state["m"], state["s"] = adam(w.detach(), g, state["m"], state["s"], t, LR * ramp(share))
            bar.advance(1, distance=loss.item())
        return state["w"].detach()

    def _searched(self, x: Tensor, drawn: _Drawn, wanted: Tensor) -> Tensor:
        loss = self._distance(x, wanted)
        return loss + self._pull.realism * F.softplus(-drawn.realism(x)).mean() if self._pull.realism else loss


class _Drawn:
    """Pictures of single styles of a prior, of a person where it is told whom to show."""

    def __init__(self, prior: Generator, shape: tuple[int, int, int], y: int) -> None:
        self._prior, self._space, self._y = prior, WSpace(prior, shape), y

    def usual(self, run: Run) -> tuple[Tensor, Tensor]:
        """Mean ``(w_dim,)`` of many styles, and the root of their mean squared distance from it."""
        w = first_styles(self._space, self._prior, run, SAMPLES, 1.0, 1, single=True)
        return w.mean(0), (w - w.mean(0)).square().sum(1).mean().sqrt()

    def pictures(self, w: Tensor) -> Tensor:
        if isinstance(self._prior, ConditionalGenerator):
            return self._prior.synthesize_as(w, torch.full((len(w),), self._y, device=w.device))
        return self._space.pictures(w)

    def realism(self, x: Tensor) -> Tensor:
        return self._prior.realism(x)


def gan_adam(prior: Generator, lr: float) -> torch.optim.Adam:
    """The optimiser of a prior's weights.

    Raises:
        UnveilError: If it has none.
    """
    require_weights(prior)
    return torch.optim.Adam(prior.parameters(), lr=lr)


def require_weights(prior: Generator) -> None:
    """Refuses a prior that has none.

    Raises:
        UnveilError: If so.
    """
    if not any(True for _ in prior.parameters()):
        raise UnveilError(f"{type(prior).__name__} has no weights", "a prior that can be tuned", "choose another")
