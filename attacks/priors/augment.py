"""Augmentation of what a discriminator sees, real and generated alike, so that a few thousand pictures last longer.

The transformations of Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020, each
applied to a picture with a fixed probability below one, which keeps them out of the generated pictures (Karras et al.,
Training Generative Adversarial Networks with Limited Data, NeurIPS 2020, Sec. 2.2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 8  # pictures move by at most an eighth of their side


def augment(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Mirrors, moves and recolours each picture by numbers of its own.

    Args:
        x: Pixels ``(N, C, H, W)`` in [-1, 1].
        p: Probability of each of mirroring (one half of it), moving, brightness, contrast and saturation.
        generator: Source of the numbers, on the CPU.

    Returns:
        Pixels of the same shape; differentiable as often as one likes.
    """
    if p == 0:
        return x
    return recolour(place(x, p, generator), p, generator)


def place(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Mirrors and moves: ``R x Cᵀ`` with matrices that pick a row and a column for each place, mirrored at the rim."""
    h, w = x.shape[-2:]
    rows = _picks(h, _shifts(len(x), h, p, generator))
    columns = _picks(w, _shifts(len(x), w, p, generator))
    mirrored = torch.rand(len(x), generator=generator) < p / 2
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    return rows[:, None].to(x) @ x @ columns.mT[:, None].to(x)


def _shifts(count: int, side: int, p: float, generator: torch.Generator) -> Tensor:
    reach = side // REACH
    moved = torch.rand(count, generator=generator) < p
    return torch.randint(-reach, reach + 1, (count,), generator=generator) * moved


def _picks(side: int, shifts: Tensor) -> Tensor:
    place = torch.arange(side) + shifts[:, None]
    place = (side - 1) - ((side - 1) - place.abs()).abs()  # beyond the rim, back inside
    return F.one_hot(place, side).float()


def recolour(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Adds to the brightness, and scales the distance from grey (saturation) and from the mean (contrast)."""
    brightness = _draw(x, p, generator, 0.0, 0.5)
    saturation = _draw(x, p, generator, 1.0, 1.0)
    contrast = _draw(x, p, generator, 1.0, 0.5)
    x = x + brightness
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * contrast


def _draw(x: Tensor, p: float, generator: torch.Generator, middle: float, reach: float) -> Tensor:
    """Uniform within ``reach`` of ``middle`` with probability p, else the middle: ``(N, 1, 1, 1)``."""
    off, on = (torch.rand(2, len(x), generator=generator)).unbind()
    drawn = middle + reach * (2 * off - 1) * (on < p)
    return drawn[:, None, None, None].to(x)
