"""Random resized crops and mirroring, each sample's from its own numbers, with gradients to the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ATTEMPTS = 10  # at a crop of random area and aspect that fits into the picture
NUMBERS = 2 * ATTEMPTS + 3  # uniform numbers that decide a crop: areas, aspects, top, left, mirrored


@dataclass(frozen=True)
class RandomCrop:
    """Cuts out a rectangle of random area and aspect, at a random place, and resizes it to the whole picture.

    Attributes:
        scale: Least and greatest area, as a share of the picture's.
        ratio: Least and greatest width over height.
        flip: Probability of mirroring.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.0

    def boxes(self, u: Tensor, height: int, width: int) -> Tensor:
        """Top, left, height and width in whole pixels ``(N, 4)``, by uniform numbers ``(N, NUMBERS)``.

        Of ten attempts the first that fits counts, as in torchvision; if none does, the whole picture.
        """
        areas, aspects, place = u[:, :ATTEMPTS], u[:, ATTEMPTS : 2 * ATTEMPTS], u[:, 2 * ATTEMPTS :]
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * areas)
        low, high = (math.log(ratio) for ratio in self.ratio)
        ratio = (low + (high - low) * aspects).exp()
        h, w = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
        fits = (h <= height) & (w <= width)
        first = fits.long().argmax(1, keepdim=True)
        some = fits.any(1)
        h = torch.where(some, h.gather(1, first)[:, 0], height)
        w = torch.where(some, w.gather(1, first)[:, 0], width)
        return torch.stack([(place[:, 0] * (height - h + 1)).floor(), (place[:, 1] * (width - w + 1)).floor(), h, w], 1)

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        """Pixels ``(N, C, H, W)`` and uniform numbers ``(N, NUMBERS)`` to pixels of the same shape."""
        height, width = x.shape[-2:]
        # Where a crop lies is decided where the numbers are; the matrices, which are larger, are made where x is.
        top, left, h, w = self.boxes(u, height, width).to(x.device).unbind(1)
        rows = interpolation(top, h, height)
        columns = interpolation(left, w, width)
        columns = torch.where((u[:, -1] < self.flip).to(x.device)[:, None, None], columns.flip(1), columns)
        rows, columns = rows.to(x)[:, None], columns.to(x)[:, None]
        return rows @ x @ columns.mT


def interpolation(first: Tensor, length: Tensor, size: int) -> Tensor:
    """Matrices that resize ``length`` pixels from ``first`` on to ``size`` pixels, linearly: ``(N, size, size)``."""
    centre = (torch.arange(size, device=first.device) + 0.5) * (length / size)[:, None] - 0.5
    place = first[:, None] + centre.clamp(min=0).minimum(length[:, None] - 1)
    return (1 - (place[:, :, None] - torch.arange(size, device=first.device)).abs()).clamp(min=0)
