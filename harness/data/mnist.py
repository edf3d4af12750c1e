"""MNIST digits, some private and some public."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from unveil.harness.assets import fetch as assets
from unveil.harness.data.images import square
from unveil.harness.data.splits import Pictures, Shares, assemble, label
from unveil.harness.words.images import Data
from unveil.harness.words.run import Run

APART = "the public digits are other digits"


@dataclass(frozen=True)
class MNIST:
    """MNIST digits: 0-4 private, 5-9 public, as in the literature; 500 of each digit.

    Beware of the closed set: an evaluator that knows the private digits only must call a reconstructed 7 one of
    them, and so accepts nearly everything. Let it know the public digits too.

    Attributes:
        private: Number of private digits, from 0 on; the others are public.
        pictures: Pictures of each digit, at most 500.
        size: Height and width in pixels; the originals are 28x28.
        channels: 1 for grey; 3 repeats it in each colour.
        test: Share of a digit's pictures that go to test.
        validation: Share of the others that go to validation; 0 for none, so that each training keeps its last epoch.
        seed: Seed of the splits.
    """

    private: Annotated[int, Field(ge=2, le=9)] = 5
    pictures: Annotated[int, Field(ge=3, le=500)] = 500
    size: Annotated[int, Field(ge=16, le=256)] = 32
    channels: Literal[1, 3] = 1
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    paper: ClassVar[str] = "LeCun et al., Gradient-based learning applied to document recognition, 1998"

    def content(self) -> Mapping[str, str]:
        """The digits' checksum."""
        return {"mnist": assets.checksum("mnist")}

    def load(self, run: Run) -> Data:
        """Reads the digits.

        Raises:
            AssetError: If they cannot be had.
            DataError: If the shares leave a split empty.
        """
        with gzip.open(assets.path("mnist"), "rt", encoding="ascii") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.uint8)
        # 784 pixels, then the digit
        digits = [table[table[:, -1] == digit][: self.pictures, :-1] for digit in range(10)]
        private = self._pictures(digits[: self.private], 0, run)
        public = self._pictures(digits[self.private :], self.private, run)
        return assemble(private, public, Shares(self.test, self.validation, self.seed), publishable=True, apart=APART)

    def _pictures(self, digits: list[NDArray[np.uint8]], first: int, run: Run) -> Pictures:
        people = [f"digit {first + i}" for i, rows in enumerate(digits) for _ in rows]
        rows = np.concatenate(digits).reshape(-1, 28, 28)
        pixels = []
        with run.progress("reading digits", len(rows)) as bar:
            for row in rows:
                pixels.append(square(Image.fromarray(row), size=self.size, channels=self.channels, crop=False))
                bar.advance()
        return Pictures(torch.stack(pixels), *label(people))
