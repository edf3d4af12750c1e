"""A defense: noise on the training pictures."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from unveil.harness.types import Defense, Images, Run


@dataclass(frozen=True)
class InputNoise(Defense):
    """Adds Gaussian noise to the training pictures.

    Attributes:
        strength: Standard deviation of the noise, in units of the pixel range.
    """

    strength: Annotated[float, Field(ge=0, le=1)] = 0.1

    def augment(self, images: Images, run: Run) -> Images:
        if not self.strength:
            return images
        noise = torch.randn(images.pixels.shape, generator=run.generator("noise"))
        return Images((images.pixels + self.strength * noise).clamp(0, 1), images.labels)

    def at_zero(self) -> "InputNoise":
        return dataclasses.replace(self, strength=0.0)
