"""Synthetic people drawn from a face generator: the data set whose truth is known and whose pictures harm nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unveil.harness.assets import fetch as assets
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.models.dcgan import DCGAN, load_digiface
from unveil.harness.words.images import Data
from unveil.harness.words.pixel_file import Room
from unveil.harness.words.pixels import to_float, to_uint8
from unveil.harness.words.run import Bar, Run, draw_normal

CHUNK = 64
APART = "the public people are other anchors in the generator's latent space"
Key = tuple[int, int]


@dataclass(frozen=True)
class People:
    """Synthetic people: drawn from a face generator, so nobody's face is in it and the truth is known.

    A person is an anchor ``a ~ N(0, I)`` in the latent space of a DCGAN trained on rendered, consented people. A
    picture of the person is ``G(sqrt(1 - r^2) a + r e)`` with fresh ``e ~ N(0, I)``, a random exposure and a little
    sensor noise. Public people are other anchors. Pictures of one person keep face, pose and setting and vary in
    expression, hair, headwear and light.

    What it cannot show: how an attack fares whose prior does not match. The private people come from the very
    distribution that the public ones come from, and the generator that drew them is public too, so an attacker's
    prior covers the private distribution exactly. It is a best case for the attack. Nor are these photographs:
    numbers from here say how defenses and attacks compare, not what happens to real people.

    The pictures depend on the settings alone. A person's pictures stay the same when more people, or more pictures
    of each, are asked for.

    Attributes:
        private: Number of private people.
        pictures: Pictures of each private person, in all splits together.
        public: Number of public people.
        public_pictures: Pictures of each public person.
        spread: Share r of a picture's latent that is not the person's, in (0, 1]; small is easy, 1 is no person at all.
        exposure: Brightness of each picture is multiplied by a uniform draw from 1 - exposure to 1 + exposure.
        noise: Standard deviation of the sensor noise, in units of the pixel range.
        size: Height and width in pixels; the generator's own is 64.
        test: Share of a person's pictures that go to test.
        validation: Share of the others that go to validation.
        seed: Seed of the anchors, the pictures and the splits.
    """

    private: Annotated[int, Field(ge=2)] = 40
    pictures: Annotated[int, Field(ge=3)] = 24
    public: Annotated[int, Field(ge=1)] = 100
    public_pictures: Annotated[int, Field(ge=1)] = 20
    spread: Annotated[float, Field(gt=0, le=1)] = 0.35
    exposure: Annotated[float, Field(ge=0, lt=1)] = 0.2
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    size: Annotated[int, Field(ge=16, le=256)] = 64
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    paper: ClassVar[str] = "Radford et al., DCGAN, ICLR 2016; Bae et al., DigiFace-1M, WACV 2023"

    def content(self) -> Mapping[str, str]:
        """The generator's checksum."""
        return {"digiface": assets.checksum("digiface")}

    def anchors(self) -> tuple[Tensor, Tensor]:
        """The truth: where each person lies in the generator's latent space. Draws no picture.

        Returns:
            Private ``(private, 100)`` in the order of the labels, and public ``(public, 100)``.
        """
        return self._anchors("private", self.private), self._anchors("public", self.public)

    def load(self, run: Run) -> Data:
        """Draws everybody.

        Raises:
            AssetError: If the generator's weights cannot be had.
            DataError: If there are too few pictures per person to split.
        """
        network = load_digiface()
        private, public = self.anchors()
        total = self.private * self.pictures + self.public * self.public_pictures
        with run.progress("drawing people", total) as bar:
            hidden = self._draw(network, "private", private, self.pictures, run, bar)
            shown = self._draw(network, "public", public, self.public_pictures, run, bar)
        data = assemble(hidden, shown, Shares(self.test, self.validation, self.seed), publishable=True, apart=APART)
        return replace(data, anchors=self._portraits(network, private))

    def _source(self) -> Run:
        """The data set's own randomness: the same people in whatever plan and whatever node they are drawn."""
        return Run(f"people {self.seed}")

    def _anchors(self, side: str, count: int) -> Tensor:
        keys = [(person, 0) for person in range(count)]
        return draw_normal(self._source().generators(f"{side} anchor", keys), (DCGAN.latent,))

    def _draw(self, network: DCGAN, side: str, anchors: Tensor, count: int, run: Run, bar: Bar) -> Pictures:
        keys = [(person, k) for person in range(len(anchors)) for k in range(count)]
        room = Room((len(keys), 3, self.size, self.size), run.scratch)
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            room.put(start, self._photograph(network, side, anchors, chunk))
            bar.advance(len(chunk))
        names = tuple(f"{'person' if side == 'private' else 'public'} {person:03d}" for person in range(len(anchors)))
        return Pictures(room.filled(), torch.tensor([person for person, _ in keys]), names)

    @torch.no_grad()
    def _portraits(self, network: DCGAN, anchors: Tensor) -> Tensor:
        """The pictures of the anchors themselves ``(N, 3, size, size)``, in neutral light and without noise."""
        return to_float(to_uint8(self._sized(torch.cat([network(a) for a in anchors.split(CHUNK)]))))

    @torch.no_grad()
    def _photograph(self, network: DCGAN, side: str, anchors: Tensor, keys: Sequence[Key]) -> Tensor:
        """Pictures ``(len(keys), 3, size, size)`` uint8 of the keys' people; each picture has an own generator."""
        own = self._source().generators(f"{side} picture", keys)
        a = anchors[[person for person, _ in keys]]
        z = sqrt(1 - self.spread**2) * a + self.spread * draw_normal(own, (DCGAN.latent,))
        x = self._sized(network(z))
        light = torch.cat([torch.rand(1, generator=g) for g in own])[:, None, None, None]
        x = x * (1 + self.exposure * (2 * light - 1)) + self.noise * draw_normal(own, x.shape[1:])
        return to_uint8(x).contiguous()

    def _sized(self, x: Tensor) -> Tensor:
        """Pictures at the height and width asked for."""
        if self.size == x.shape[-1]:
            return x
        return F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True)
