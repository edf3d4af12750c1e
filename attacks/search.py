"""Searching a prior's latents for what a target remembers: what white-box latent attacks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unveil.attacks.loop import resumable_steps
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.harness.errors import UnveilError
from unveil.harness.types import Generator, Images, Ingredients, Run, View

WAYPOINTS = 6  # steps of a search at which its pictures are kept
State = dict[str, Tensor]
Key = tuple[int, ...]


def prior_of(ingredients: Ingredients, run: Run) -> Generator:
    """The prior, frozen, in evaluation mode and on the device.

    Raises:
        UnveilError: If there is none.
    """
    if ingredients.prior is None:
        raise UnveilError("the attack was given no prior", "the trained generator that its settings name")
    prior = ingredients.prior.eval().requires_grad_(False)
    prior.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return prior


@dataclass(frozen=True)
class Objective:
    """What is descended: ``L = -realism(G(z)) + λ · identity(T(G(z)), y)``, for each sample alone.

    Attributes:
        view: The target T.
        prior: G and its critic.
        identity: Which identity loss.
        weight: λ.
        run: Precision.
    """

    view: View
    prior: Generator
    identity: IdentityLoss
    weight: float
    run: Run

    def __call__(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``(N, latent)`` and labels ``(N,)`` to the loss and its identity part, each ``(N,)``."""
        with self.run.autocast():
            x = self.prior.synthesize(z)
            o, realism = self.view.logits(x), self.prior.realism(x)
        identity = IDENTITY_LOSSES[self.identity](o.float(), y)
        return self.weight * identity - realism.float(), identity.detach()


@dataclass(frozen=True)
class Descent:
    """What an attack does to some samples at a time.

    Attributes:
        start: Their first state: tensors whose first axis is the sample.
        step: Changes their state by step t; gives their identity losses ``(N,)``.
        pictures: What a state looks like: pixels ``(N, C, H, W)`` in [0, 1].
    """

    start: Callable[[Sequence[Key]], State]
    step: Callable[[Sequence[Key], State, int], Tensor]
    pictures: Callable[[State], Tensor]


def search(
    view: View,
    run: Run,
    name: str,
    keys: Sequence[Key],
    steps: int,
    batch: int,
    descent: Descent,
) -> State:
    """Takes all samples through their steps, so many at a time, with progress and checkpoints.

    Args:
        view: The target; what was asked of it before a kill is counted after it, too.
        run: Progress and checkpoints.
        name: Beside the bar.
        keys: One per sample, the first number its label.
        steps: Steps for each sample.
        batch: Samples searched at the same time; bounds memory.
        descent: How a sample starts and steps. Pictures of the first sample of each label are kept at ``WAYPOINTS``
            evenly spaced steps, as the run's ``path pixels`` and ``path labels``.

    Returns:
        The last state of all samples, on the CPU.
    """
    parts = [keys[i : i + batch] for i in range(0, len(keys), batch)]
    done: list[State] = []
    now: State = {}
    path: list[State] = []

    def state() -> dict[str, Any]:
        spent = {"queries": view.spent.queries, "gradients": view.spent.gradients}
        return {"done": done, "now": now, "path": path, **spent}

    def restore(saved: Mapping[str, Any]) -> None:
        done.extend(saved["done"])
        path.extend(saved["path"])
        now.update({key: value.to(run.device) for key, value in saved["now"].items()})
        view.spent.queries, view.spent.gradients = saved["queries"], saved["gradients"]

    firsts = set({key[0]: key for key in reversed(keys)}.values())
    marks = {round(k * (steps - 1) / (WAYPOINTS - 1)) for k in range(WAYPOINTS)}
    for i, bar in resumable_steps(run, name, steps * len(parts), state, restore):
        part, t = divmod(i, steps)
        if t == 0:
            now.update(descent.start(parts[part]))
        if t in marks and firsts.intersection(parts[part]):
            path.append(_waypoint(descent.pictures, now, parts[part], firsts))
        identity = descent.step(parts[part], now, t)
        bar.advance(1, identity_loss=identity.mean().item())
        if t == steps - 1:
            done.append({key: value.cpu() for key, value in now.items()})
    if path:
        for kept in ("pixels", "labels"):
            run.keep(f"path {kept}", torch.cat([one[kept] for one in path]))
    return {key: torch.cat([one[key] for one in done]) for key in done[0]}


@torch.no_grad()
def _waypoint(pictures: Callable[[State], Tensor], now: State, keys: Sequence[Key], firsts: set[Key]) -> State:
    index = [i for i, key in enumerate(keys) if key in firsts]
    x = pictures({key: value[index] for key, value in now.items()})
    return {"pixels": (x.clamp(0, 1) * 255).round().byte().cpu(), "labels": torch.tensor([keys[i][0] for i in index])}


def labels_of(keys: Sequence[Key], run: Run) -> Tensor:
    """The label of each sample ``(N,)``, on the device."""
    return torch.tensor([key[0] for key in keys], device=run.device)


@torch.no_grad()
def show(prior: Generator, z: Tensor, keys: Sequence[Key], run: Run, chunk: int = 256) -> Images:
    """Pictures of latents ``(N, latent)``, labelled with what they are meant to show."""
    pixels = [prior.synthesize(part.to(run.device)).clamp(0, 1).float().cpu() for part in torch.split(z, chunk)]
    return Images(torch.cat(pixels).contiguous(), torch.tensor([key[0] for key in keys]))
