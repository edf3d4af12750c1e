"""PLG-MI's random views of a picture: crop, mirror, colour and turn, each picture by its own numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.harness.words import crops
from unveil.harness.words.crops import RandomCrop

NUMBERS = crops.NUMBERS + 4  # uniform numbers that decide a view: the crop's, coloured or not, two factors, angle


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture, in this order: crop and mirror, brightness, contrast, turn.

    Draw uniform numbers ``(N, NUMBERS)`` in [0, 1), such as from `numbers.uniform`, and call it with them.
    kornia shuffles brightness and contrast; the order shows only where one of them clips.

    Attributes:
        crop: The crop, resized to the whole picture, and the mirror.
        brightness: The factor is from 1 - brightness to 1 + brightness.
        contrast: As brightness, about the crop's mean grey.
        coloured: Probability that brightness and contrast change at all.
        degrees: The angle is from -degrees to degrees; the corners that this lays bare are black.
        turned: Probability that a view is turned at all.
        signed: Whether pixels are in [-1, 1], as a released generator's: what is coloured is clipped to [0, 1] then,
            and what is not keeps its range.
    """

    crop: RandomCrop
    brightness: float
    contrast: float
    coloured: float
    degrees: float
    turned: float = 1.0
    signed: bool = False

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        """Pixels ``(N, C, H, W)`` in [0, 1] to such pixels of the same shape, with gradients to ``x``."""
        coloured, brightness, contrast, turn = u[:, crops.NUMBERS :].unbind(1)
        x = self.crop(x, u[:, : crops.NUMBERS])
        on = (coloured < self.coloured).to(u)
        tinted = colour(x, 1 + on * self.brightness * (2 * brightness - 1), 1 + on * self.contrast * (2 * contrast - 1))
        x = torch.where(on.to(x.device).bool()[:, None, None, None], tinted, x) if self.signed else tinted
        angle = self.degrees * (2 * turn / self.turned - 1) if self.turned else torch.zeros_like(turn)
        return rotate(x, torch.where(turn < self.turned, angle, 0))  # the number that decides it is uniform below, too


def published(coloured: float, turned: float = 1.0, *, signed: bool = False) -> Augmentation:
    """PLG-MI's, which colours half of the views in training, and all of them in the inversion."""
    return Augmentation(RandomCrop((0.8, 1.0), flip=0.5), 0.2, 0.2, coloured, 5.0, turned, signed)


def colour(x: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Multiplies pixels, then moves them away from their mean grey, by factors ``(N,)``; clips each to [0, 1]."""
    from kornia import enhance  # noqa: PLC0415 (takes half a second to import)

    out: Tensor = enhance.adjust_contrast_with_mean_subtraction(
        enhance.adjust_brightness_accumulative(x, brightness.to(x)), contrast.to(x)
    )
    return out


def rotate(x: Tensor, angle: Tensor) -> Tensor:
    """Turns pictures counter-clockwise about their middle by degrees ``(N,)``, bilinearly, on black."""
    from kornia.geometry import transform  # noqa: PLC0415 (as above)

    out: Tensor = transform.rotate(x, angle.to(x), align_corners=False)
    return out
