"""The ORL faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from unveil.harness.assets import fetch as assets
from unveil.harness.data.images import decode
from unveil.harness.data.splits import Pictures, Shares, assemble, label
from unveil.harness.words.images import Data
from unveil.harness.words.pixels import chosen
from unveil.harness.words.run import Run

APART = "the publisher numbers its 40 people, and the public ones have other numbers"


@dataclass(frozen=True)
class ORL:
    """ORL faces: 40 real people, 10 grey photographs each; the first ones private, the others public.

    A hard case for an attack with a prior of coloured renders, and a small one: with 10 public people a generator
    learns little. Its pictures are published research data by AT&T Laboratories Cambridge, to be credited when used;
    they show real people who were never asked about being on a leaderboard, so pages show none of them.

    Attributes:
        private: Number of private people, the first of the 40; the others are public.
        size: Height and width in pixels.
        channels: 3 repeats the grey in each colour, as models with pretrained weights expect; 1 keeps it grey.
        crop: Whether to cut out the centre square of the 92x112 pictures; otherwise they are squeezed.
        test: Share of a person's pictures that go to test.
        validation: Share of the others that go to validation; 0 for none, so that each training keeps its last epoch.
        seed: Seed of the splits.
    """

    private: Annotated[int, Field(ge=2, le=39)] = 30
    size: Annotated[int, Field(ge=16, le=256)] = 64
    channels: Literal[1, 3] = 3
    crop: bool = True
    test: Annotated[float, Field(gt=0, lt=1)] = 0.3
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    paper: ClassVar[str] = "Samaria and Harter, Parameterisation of a stochastic model, WACV 1994"

    def content(self) -> Mapping[str, str]:
        """The pictures' checksum."""
        return {"orl": assets.checksum("orl")}

    def load(self, run: Run) -> Data:
        """Reads the 400 pictures.

        Raises:
            AssetError: If they cannot be had.
            DataError: If the shares leave a split empty.
        """
        root = assets.path("orl")
        files = [root / f"s{person}" / f"{k}.pgm" for person in range(1, 41) for k in range(1, 11)]
        pixels = decode(files, size=self.size, channels=self.channels, crop=self.crop, run=run).pixels
        people = [f"s{person:02d}" for person in range(1, 41) for _ in range(10)]
        edge = 10 * self.private
        both = chosen(pixels)
        private = Pictures(both.choose(slice(edge)), *label(people[:edge]))
        public = Pictures(both.choose(slice(edge, None)), *label(people[edge:]))
        return assemble(private, public, Shares(self.test, self.validation, self.seed), publishable=False, apart=APART)
