"""Synthetic people drawn from a face generator: the data set whose truth is known and whose pictures harm nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unveil.harness.assets import fetch as assets
from unveil.harness.data.drawn import Drawn
from unveil.harness.models.dcgan import DCGAN, load_digiface
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.run import draw_normal


@dataclass(frozen=True)
class People(Drawn[DCGAN]):
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
        validation: Share of the others that go to validation; 0 for none, so that each training keeps its last epoch.
        seed: Seed of the anchors, the pictures and the splits.
    """

    stream: ClassVar[str] = "people"
    apart: ClassVar[str] = "the public people are other anchors in the generator's latent space"
    latent: ClassVar[int] = DCGAN.latent
    together: ClassVar[int] = 64
    paper: ClassVar[str] = "Radford et al., DCGAN, ICLR 2016; Bae et al., DigiFace-1M, WACV 2023"

    spread: Annotated[float, Field(gt=0, le=1)] = 0.35

    def content(self) -> Mapping[str, str]:
        """The generator's checksum."""
        return {"digiface": assets.checksum("digiface")}

    def network(self) -> DCGAN:
        """The generator."""
        return load_digiface()

    def placed(self, network: DCGAN, anchors: Tensor) -> Tensor:  # noqa: ARG002
        """Anchors are latents."""
        return anchors

    def plain(self, network: DCGAN, anchors: Tensor) -> Tensor:
        """The pictures of the anchors themselves ``(N, 3, size, size)``, in neutral light and without noise."""
        return self._sized(torch.cat([network(a) for a in anchors.split(self.together)]))

    def photograph(self, network: DCGAN, own: Sequence[torch.Generator], anchors: Tensor) -> Tensor:
        """Pictures ``(N, 3, size, size)`` uint8, each of its anchor and by a generator of its own."""
        z = sqrt(1 - self.spread**2) * anchors + self.spread * draw_normal(own, (DCGAN.latent,))
        x = self._sized(network(z))
        light = torch.cat([torch.rand(1, generator=g) for g in own])[:, None, None, None]
        x = x * (1 + self.exposure * (2 * light - 1)) + self.noise * draw_normal(own, x.shape[1:])
        return to_uint8(x).contiguous()

    def _sized(self, x: Tensor) -> Tensor:
        """Pictures at the height and width asked for."""
        if self.size == x.shape[-1]:
            return x
        return F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True)
