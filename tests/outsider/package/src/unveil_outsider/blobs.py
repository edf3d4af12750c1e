"""A data set: coloured blobs, four private people and six public ones."""

from dataclasses import dataclass

import torch

from unveil.harness.data.splits import Pictures, Shares, assemble, to_uint8
from unveil.harness.types import Data, Dataset, Run


@dataclass(frozen=True)
class Blobs(Dataset):
    """Coloured blobs, one colour and place for each person."""

    def load(self, run: Run) -> Data:
        return assemble(draw("private", 4), draw("public", 6), Shares(0.2, 0.2, 0), publishable=True)


def draw(side: str, people: int, pictures: int = 10) -> Pictures:
    pixels = [picture(f"{side} {person}", k) for person in range(people) for k in range(pictures)]
    labels = torch.arange(people).repeat_interleave(pictures)
    return Pictures(to_uint8(torch.stack(pixels)), labels, tuple(f"{side} {i}" for i in range(people)))


def picture(person: str, number: int) -> torch.Tensor:
    look, own = Run(person).generator("look"), Run(person).generator("picture", number)
    wall, skin = torch.rand(2, 3, 1, 1, generator=look)
    y, x = 0.2 + 0.6 * torch.rand(2, generator=look) + 0.05 * torch.randn(2, generator=own)
    line = torch.linspace(0, 1, 32)
    blob = torch.exp(-((line[:, None] - y) ** 2 + (line - x) ** 2) / 0.04)
    return (wall + (skin - wall) * blob + 0.02 * torch.randn(3, 32, 32, generator=own)).clamp(0, 1)
