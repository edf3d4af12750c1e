"""How pixels become what a network was trained on: normalisation, side and order of colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unveil.harness.words.classifier import Classifier

KNOWN = {
    "ImageNet's mean and standard deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "pixels from -1 to 1": ((0.5,) * 3, (0.5,) * 3),
    "pixels from 0 to 1": ((0.0,) * 3, (1.0,) * 3),
    "pixels from 0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
}


class Swapped(nn.Module):
    """Colours in reverse order, as OpenCV reads them."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` with the last colour first."""
        return x.flip(1)


SWAPPED = "bgr"
"""The stage in front of a network that expects blue first."""


@dataclass(frozen=True)
class Input:
    """How pixels in [0, 1] become what a network was trained on.

    Attributes:
        name: In words.
        mean: Of each colour, red first.
        std: As the mean.
        size: Side that pictures are resized to; None takes them as they are.
        bgr: Whether the network wants blue first.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None
    bgr: bool = False

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Input:
        """From what ``asdict`` gave, by way of JSON."""
        return cls(plain["name"], tuple(plain["mean"]), tuple(plain["std"]), plain["size"], plain["bgr"])

    def give(self, classifier: Classifier) -> None:
        """Makes a classifier expect such pictures."""
        where = classifier.mean.device
        classifier.mean, classifier.std = (
            torch.tensor(v, device=where).view(1, -1, 1, 1) for v in (self.mean, self.std)
        )
        classifier.size = self.size
        stages = {name: stage for name, stage in classifier.stages.items() if name != SWAPPED}
        classifier.stages = nn.ModuleDict({**({SWAPPED: Swapped()} if self.bgr else {}), **stages})

    @property
    def told(self) -> str:
        """In words, with the order of colours where it is the rarer one."""
        return f"{self.name}, blue first" if self.bgr else self.name


def likely(classifier: Classifier, size: int | None, bgr: bool) -> Iterator[Input]:
    """What a classifier brings, and then what is usual.

    Args:
        classifier: With its architecture's own normalisation.
        size: Side that all are given.
        bgr: Whether blue comes first in all.
    """
    channels = classifier.mean.numel()
    own = tuple(tuple(v.flatten().tolist()) for v in (classifier.mean, classifier.std))
    names = {tuple(map(_rounded, pair)): name for name, pair in KNOWN.items()}
    yield Input(names.get(tuple(map(_rounded, own)), "its architecture's own normalisation"), own[0], own[1], size, bgr)
    for name, (mean, std) in KNOWN.items():
        if tuple(map(_rounded, (mean, std))) != tuple(map(_rounded, own)):
            a, b = (v if channels == len(v) else (sum(v) / len(v),) * channels for v in (mean, std))
            yield Input(name, a, b, size, bgr)


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(v, 4) for v in values)


def changed(guess: Input, *, size: int | None = None, bgr: bool = False) -> Input:
    """The same with another side, or with blue first."""
    return Input(guess.name, guess.mean, guess.std, size or guess.size, bgr or guess.bgr)
