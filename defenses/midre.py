"""MIDRE: random erasing, so that the target is never shown a whole face."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from unveil.defenses.averaging import aligned
from unveil.harness.types import Classifier, Defense, Images, Run, Spec
from unveil.harness.words.erasing import squares
from unveil.harness.words.errors import PluginError

Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class MIDRE(Defense):
    """Covers a square of each training picture with grey, somewhere, anew in every epoch.

    The square's share of the picture is uniform between two bounds, its place uniform among those where it fits. It is
    the last thing that happens to a training picture. Validation, test and attack see whole pictures.

    An attack that erases at random in its own views, too, meets the target as it was trained: ``align_mi`` with
    ``variant = "erase"``.

    Departure: in the released code the square is (.485, .456, .406) *after* pixels were brought to [-1, 1], which is
    the bright grey (.7425, .728, .703) of the default here and not ImageNet's mean that the numbers are known for.

    Attributes:
        largest: Largest share of the picture that is erased; 0 is no defense. Published: .4, and .8 as the strong
            setting.
        smallest: Smallest share; no more than ``largest``.
        fill: Red, green and blue of the square in [0, 1]; grey pictures get their mean.
    """

    paper: ClassVar[str] = (
        "Tran et al., Defending against Model Inversion Attacks via Random Erasing, TMLR 2025, arXiv:2409.01062"
    )

    per_sample: ClassVar[bool] = True

    largest: Share = 0.4
    smallest: Share = 0.1
    fill: tuple[Level, Level, Level] = (0.7425, 0.728, 0.703)

    def __post_init__(self) -> None:
        if self.largest and self.smallest > self.largest:
            raise PluginError(
                f"midre erases from {self.smallest} to {self.largest} of a picture",
                "a smallest share that is no more than the largest",
                "lower smallest, or raise largest",
            )

    def augment(self, images: Images, run: Run) -> Images:
        """Erases a square of each picture."""
        if not self.largest:
            return images
        n, channels, height, width = images.pixels.shape
        u = torch.rand(n, 3, generator=run.generator("midre"))
        hidden = squares(u, (height, width), self.smallest, self.largest).to(images.pixels.device)
        fill = images.pixels.new_tensor(self.fill)
        fill = fill if channels == len(self.fill) else fill.mean().expand(channels)
        return Images(torch.where(hidden[:, None], fill.view(1, -1, 1, 1), images.pixels), images.labels)

    def ladder(self, classifier: Classifier) -> Sequence[MIDRE]:  # noqa: ARG002
        """Largest shares of .2 to .8."""
        return [
            dataclasses.replace(self, largest=most, smallest=min(self.smallest, most)) for most in (0.2, 0.4, 0.6, 0.8)
        ]

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over erased views: the target is shown what it was trained on."""
        if not self.largest:
            return None
        erased, grey = [self.smallest, self.largest], round(sum(self.fill) / len(self.fill), 4)
        return aligned(attack, "erase", {"erased": erased, "fill": grey})

    def at_zero(self) -> MIDRE:
        """Erases nothing."""
        return dataclasses.replace(self, largest=0.0)
