"""Synthetic people drawn by a strong face network: photographs, nearly, of nobody, with the truth known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unveil.harness.assets import fetch as assets
from unveil.harness.data.drawn import Drawn
from unveil.harness.models.mobile_cut import MobileCut, load_cut, shipped_head
from unveil.harness.models.mobile_networks import Framing
from unveil.harness.models.mobile_weights import ASSET
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.run import draw_normal

FRAMING: Framing = "arcface"
LIVELY = (0, 2, 4, 6)  # rows of styles that carry more of pose and expression for the identity that they carry
LIGHT = 8  # from this row on, styles are colour and light, and nearly no identity


@dataclass(frozen=True)
class Portraits(Drawn[MobileCut]):
    """Synthetic people who look real: drawn by MobileStyleGAN, so nobody's face is in it and the truth is known.

    A person is an anchor ``a``, the styles of a latent ``z ~ N(0, I)``. A picture of the person takes the styles ``e``
    of another latent: whole in the rows of colour and light, ``m + sqrt(1 - r^2) (a - m) + r (e - m)`` in four rows
    that change pose and expression (``m`` is the mean style), and none in the others. Then come crop, light and sensor
    noise. Rows and amounts were chosen by what face embedders say: docs/decisions/029. Public people are other anchors.

    No small generator has learnt to draw these people, so an attack whose prior was trained on the public pictures, or
    is ``digiface``, is not in the best case that ``people`` is. Beside the prior ``mobile_style`` it is: that
    network drew the private people, and the rows say so.

    The network is the asset ``mobilestylegan``, for non-commercial research (FFHQ: CC BY-NC-SA 4.0; StyleGAN2: NVIDIA
    Source Code License-NC); what it draws is under these terms. The pictures depend on the settings alone. A
    person's pictures stay the same when more people, or more pictures of each, are asked for.

    Attributes:
        private: Number of private people.
        pictures: Pictures of each private person, in all splits together.
        public: Number of public people.
        public_pictures: Pictures of each public person.
        spread: Share r of another's style in the rows that change pose and expression, in [0, 1].
        jitter: The crop is turned by up to so many radians, scaled by up to 1 + jitter or 1 - jitter, and shifted by up
            to so much of half a side.
        shade: Light from one side: brightness changes by up to so much from the middle to an edge.
        exposure: Brightness of each picture is multiplied by a uniform draw from 1 - exposure to 1 + exposure.
        noise: Standard deviation of the sensor noise, in units of the pixel range.
        size: Height and width in pixels. The shipped head draws 64; other sizes are made from its pictures.
        test: Share of a person's pictures that go to test.
        validation: Share of the others that go to validation; 0 for none, so that each training keeps its last epoch.
        seed: Seed of the anchors, the pictures and the splits.
    """

    stream: ClassVar[str] = "portraits"
    apart: ClassVar[str] = (
        "the public people are other anchors in the generator's style space; drawn by MobileStyleGAN (FFHQ), for "
        "non-commercial research"
    )
    latent: ClassVar[int] = MobileCut.latent
    together: ClassVar[int] = 32
    paper: ClassVar[str] = "Belousov, MobileStyleGAN, 2021; Karras et al., StyleGAN2, CVPR 2020"

    pictures: Annotated[int, Field(ge=3)] = 30
    public: Annotated[int, Field(ge=1)] = 200
    public_pictures: Annotated[int, Field(ge=1)] = 12
    spread: Annotated[float, Field(ge=0, le=1)] = 0.55
    jitter: Annotated[float, Field(ge=0, le=0.2)] = 0.05
    shade: Annotated[float, Field(ge=0, lt=1)] = 0.25

    def content(self) -> Mapping[str, str]:
        """Checksums of the network, and of the head where it is here."""
        head = shipped_head(FRAMING, self.size)
        return {ASSET: assets.checksum(ASSET), **({"head": assets.sha256(head[1])} if head else {})}

    def network(self) -> MobileCut:
        """The network, cut, with the head that comes with the package."""
        return load_cut(FRAMING, self.size)

    def placed(self, network: MobileCut, anchors: Tensor) -> Tensor:
        """The styles of the anchors ``(N, rows, 512)``."""
        return network.map(anchors)

    def plain(self, network: MobileCut, anchors: Tensor) -> Tensor:
        """The pictures of the anchors themselves ``(N, 3, size, size)``, in neutral light and without noise."""
        return torch.cat([self._sized(network(a)) for a in anchors.split(self.together)])

    def photograph(self, network: MobileCut, own: Sequence[torch.Generator], anchors: Tensor) -> Tensor:
        """Pictures ``(N, 3, size, size)`` uint8, each of its anchor's styles and by a generator of its own."""
        e = network.map(draw_normal(own, (network.latent,)))
        x = self._sized(network(self._mixed(anchors, e, network.w_avg)))
        u = 2 * torch.stack([torch.rand(7, generator=g) for g in own]) - 1
        x = shaded(cropped(x, self.jitter * u[:, :4]), u[:, 4] * torch.pi, self.shade * u[:, 6])
        x = x * (1 + self.exposure * u[:, 5])[:, None, None, None] + self.noise * draw_normal(own, x.shape[1:])
        return to_uint8(x.clamp(0, 1)).contiguous()

    def _sized(self, x: Tensor) -> Tensor:
        """Pictures in [0, 1] at the height and width asked for."""
        wanted = (self.size, self.size)
        x = x if self.size == x.shape[-1] else F.interpolate(x, size=wanted, mode="bilinear", antialias=True)
        return x.clamp(0, 1)

    def _mixed(self, a: Tensor, e: Tensor, m: Tensor) -> Tensor:
        """Styles of a picture ``(N, rows, 512)`` from the person's a, another's e and the mean m ``(512,)``."""
        w = a.clone()
        w[:, LIVELY] = m + (1 - self.spread**2) ** 0.5 * (a - m)[:, LIVELY] + self.spread * (e - m)[:, LIVELY]
        w[:, LIGHT:] = e[:, LIGHT:]
        return w


def cropped(x: Tensor, by: Tensor) -> Tensor:
    """Pictures ``(N, C, H, W)`` turned, scaled and shifted by ``(N, 4)``: radians, share, and half sides."""
    turn, scale = by[:, 0], 1 + by[:, 1]
    rows = (scale * turn.cos(), -scale * turn.sin(), by[:, 2]), (scale * turn.sin(), scale * turn.cos(), by[:, 3])
    grid = F.affine_grid(torch.stack([torch.stack(row, 1) for row in rows], 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def shaded(x: Tensor, angle: Tensor, amount: Tensor) -> Tensor:
    """Pictures ``(N, C, H, W)``, by an amount ``(N,)`` brighter towards an angle ``(N,)`` and darker behind."""
    across, down = (torch.linspace(-1, 1, n) for n in (x.shape[3], x.shape[2]))
    ramp = angle.cos()[:, None, None] * across + angle.sin()[:, None, None] * down[:, None]
    return x * (1 + amount[:, None, None] * ramp)[:, None]
