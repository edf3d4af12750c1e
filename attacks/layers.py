"""Priors whose synthesis goes block by block, so that a search can leave their range between two blocks."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from unveil.attacks.wspace import Styled, WSpace
from unveil.harness.types import Generator
from unveil.harness.words.errors import UnveilError


@runtime_checkable
class Layered(Styled, Protocol):
    """A styled generator in blocks: ``h_i, rgb_i = block(i, h_{i-1}, rgb_{i-1}, w)``, both None before the first.

    ``finished(rgb)`` of the last block's colours is ``synthesize_w(w)``, bit for bit.

    Attributes:
        blocks: How many there are.
    """

    blocks: int

    def block(self, i: int, h: Tensor | None, rgb: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and colours behind block i.

        Args:
            i: Which block, from 0.
            h: Features behind the block before; None for the constant that the first starts from.
            rgb: Colours of the blocks before; None where there are none, or to begin a picture without them.
            w: Styles ``(N, num_ws, w_dim)`` of the whole picture.
        """
        ...

    def finished(self, rgb: Tensor) -> Tensor:
        """Colours of the last block to pixels ``(N, C, H, W)`` in [0, 1]."""
        ...


class LayeredSpace(WSpace):
    """Styles and features of a prior in blocks, and the pictures of them that a target is shown.

    Args:
        prior: The generator.
        shape: Shape ``(C, H, W)`` of the pictures that the target takes.
        crop: As of `WSpace`.

    Raises:
        UnveilError: If the prior has no blocks.
    """

    def __init__(self, prior: Generator, shape: tuple[int, int, int], crop: int | None = None) -> None:
        super().__init__(prior, shape, crop)
        if not isinstance(prior, Layered):
            raise UnveilError(
                f"{type(prior).__name__} has no features between blocks that could be searched",
                "a prior that draws block by block, such as style_gan, stylegan2_ada or mobile_style",
                "choose such a prior, or attack with ppa",
            )
        self._layered: Layered = prior
        self.blocks = prior.blocks

    def between(self, first: int, last: int, w: Tensor, h: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Features and colours behind block ``last - 1``, of those before block ``first``; empty ones are none.

        Args:
            first: Where to go in.
            last: Where to stop.
            w: One style per picture ``(N, w_dim)``.
            h: Features before block ``first``.
            rgb: Colours there.
        """
        rows = w[:, None].expand(-1, self._layered.num_ws, -1)
        now, colours = (x if x.numel() else None for x in (h, rgb))
        for i in range(first, last):
            now, colours = self._layered.block(i, now, colours, rows)
        return tuple(nothing(w) if x is None else x for x in (now, colours))  # type: ignore[return-value]

    def onward(self, first: int, w: Tensor, h: Tensor, rgb: Tensor) -> Tensor:
        """Pixels as the target takes them, of features and colours before block ``first``; as `between`."""
        return self._frame(self._layered.finished(self.between(first, self.blocks, w, h, rgb)[1]))


def nothing(like: Tensor) -> Tensor:
    """Features or colours where there are none, for as many samples."""
    return like.new_empty(len(like), 0)


def within_ball(v: Tensor, centre: Tensor, radius: float) -> Tensor:
    """The nearest point of the L1 ball about each sample's centre (Duchi et al., 2008); what lies inside stays.

    Args:
        v: Points ``(N, ...)``.
        centre: As many centres.
        radius: Of all balls.
    """
    off = (v - centre).flatten(1)
    outside = off.abs().sum(1) > radius
    if not outside.any():
        return v
    size = off[outside].abs()
    falling = size.sort(dim=1, descending=True).values
    excess = (falling.double().cumsum(1) - radius) / torch.arange(1, falling.shape[1] + 1, device=v.device)
    last = (falling > excess).sum(1, keepdim=True) - 1
    kept = (size - excess.gather(1, last).to(size)).clamp_min(0) * off[outside].sign()
    moved = v.clone()
    moved[outside] = centre[outside] + kept.view(-1, *v.shape[1:])
    return moved
