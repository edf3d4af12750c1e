"""Learns a small head for small pictures from what the whole MobileStyleGAN draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from unveil.attacks.loop import resumable_steps
from unveil.attacks.priors import gan
from unveil.attacks.priors.mobile_generator import MobileGenerator
from unveil.harness.words.run import Run, draw_normal

TOGETHER = 2  # pictures of 1024 pixels in memory at once
HELD_OUT = 16  # one in so many pictures is not learnt from


@dataclass(frozen=True)
class Learning:
    """How a head is learnt.

    Attributes:
        pictures: Of the whole network, those that are held out included.
        steps: Of Adam.
        batch: Pictures in a step.
        lr: Learning rate at first.
    """

    pictures: int
    steps: int
    batch: int
    lr: float


def learn(small: MobileGenerator, whole: MobileGenerator, how: Learning, run: Run) -> Mapping[str, Sequence[float]]:
    """Makes the head of one generator draw what the other one draws; the rest of both stays as it is.

    The loss is the mean absolute difference of pixels, at the whole size, half and a quarter of it. Both loops show
    their progress, and go on where they were interrupted.

    Args:
        small: Its ``end`` learns.
        whole: Draws pictures of the same size.
        how: Settings.
        run: Randomness, progress, checkpoints.

    Returns:
        The loss, and in the end the peak signal-to-noise ratio in dB of pictures that were held out.
    """
    truth = _truth(whole, how.pictures, run)
    held = math.ceil(how.pictures / HELD_OUT)
    head = small.end.train().requires_grad_(True)
    adam = Adam(head.parameters(), lr=how.lr, betas=(0.9, 0.99))

    def step(i: int) -> Mapping[str, float]:
        for group in adam.param_groups:
            group["lr"] = how.lr * 0.5 * (1 + math.cos(math.pi * i / how.steps))
        which = torch.randint(held, how.pictures, (how.batch,), generator=run.generator("batch", i)).tolist()
        return {
            "loss": gan.descend(adam, difference(small.drawn(_styles(small, which, run)), _float(truth, which, run)))
        }

    curves = dict(gan.train(run, "head", how.steps, {"head": head, "adam": adam}, step))
    head.eval().requires_grad_(False)
    curves["held-out PSNR"] = [psnr(small, truth, range(held), run)]
    return curves


def difference(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of pixels ``(N, 3, S, S)``, at three sizes."""
    loss = F.l1_loss(x, y)
    for _ in range(2):
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        loss = loss + F.l1_loss(x, y)
    return loss


@torch.no_grad()
def psnr(small: MobileGenerator, truth: Tensor, which: Sequence[int], run: Run) -> float:
    """Mean peak signal-to-noise ratio in dB over pictures, of pixels in [0, 1]."""
    found = []
    for k in which:
        error = (small.drawn(_styles(small, [k], run)).clamp(0, 1) - _float(truth, [k], run)).square().mean()
        found.append(-10 * math.log10(max(error.item(), 1e-10)))
    return sum(found) / len(found)


@torch.no_grad()
def _truth(whole: MobileGenerator, count: int, run: Run) -> Tensor:
    """What the whole network draws of the first latents, ``(count, 3, S, S)`` uint8 on the CPU."""
    parts: list[Tensor] = []
    name = "pictures of the whole network"

    def state() -> Mapping[str, Any]:
        return {"pictures": torch.cat(parts)}

    def restore(saved: Mapping[str, Any]) -> None:
        parts[:] = [saved["pictures"]]

    steps = math.ceil(count / TOGETHER)
    for i, bar in resumable_steps(run, name, steps, state, restore):
        which = range(i * TOGETHER, min((i + 1) * TOGETHER, count))
        x = whole.drawn(_styles(whole, which, run)).clamp(0, 1)
        parts.append((x * 255).round().to(torch.uint8).cpu())
        bar.advance(1)
    run.save(name, {"step": steps, "state": dict(state())})
    return torch.cat(parts)


def _styles(drawing: MobileGenerator, which: Sequence[int], run: Run) -> Tensor:
    z = draw_normal(run.generators("picture", [(k,) for k in which]), (drawing.latent,))
    return drawing.map(z.to(run.device))


def _float(truth: Tensor, which: Sequence[int], run: Run) -> Tensor:
    return truth[list(which)].to(run.device).float() / 255
