"""MobileStyleGAN cut and with a small head, as something that draws: no gradients, no attack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from unveil.harness.assets import weights
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.models import mobile_head_file
from unveil.harness.models.mobile_networks import FRAMINGS, Framing, Mapping, cut, small
from unveil.harness.models.mobile_weights import load_published
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.errors import AssetError
from unveil.harness.words.run import Run


class MobileCut(nn.Module):
    """The network up to where a head draws on, and that head.

    Args:
        framing: Which part of the frame is shown.
        size: Height and width of the pictures.
        widths: Of the head.

    Attributes:
        latent: Length of z and of a style.
        rows: Styles of a picture.
    """

    latent = 512

    def __init__(self, framing: Framing, size: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.mapping, (self.features, self.head) = Mapping(), cut(size, widths)
        self.window, self.size = FRAMINGS[framing], size
        self.rows = self.features.rows + self.head.rows

    @property
    def w_avg(self) -> Tensor:
        """Mean style ``(512,)``."""
        return self.mapping.w_avg

    def map(self, z: Tensor) -> Tensor:
        """Latents ``(N, latent)`` to styles ``(N, rows, latent)``, all rows of a picture equal."""
        out: Tensor = self.mapping(z)[:, None].repeat(1, self.rows, 1)
        return out

    def forward(self, w: Tensor) -> Tensor:
        """Styles ``(N, rows, latent)`` to pixels ``(N, 3, size, size)`` around [0, 1], not clipped."""
        return small(self.features, self.head, self.window, self.size, w) * 0.5 + 0.5


def shipped_head(framing: Framing, size: int) -> tuple[int, Path] | None:
    """The shipped head for pictures of that size or the next larger, else the largest: its own size, and its file."""
    heads = mobile_head_file.shipped(framing)
    if not heads:
        return None
    own = min((s for s in heads if s >= size), default=max(heads))
    return own, heads[own]


def load_cut(framing: Framing, size: int) -> MobileCut:
    """The network with a shipped head, frozen and in evaluation mode, on the CPU.

    Args:
        framing: Which part of the frame is shown.
        size: Pictures have this many pixels at least, if a head draws as many.

    Raises:
        AssetError: If the network or a head cannot be had.
        WeightsError: If a file does not hold what it should.
    """
    found = shipped_head(framing, size)
    if found is None:
        raise AssetError(
            f"{mobile_head_file.HEADS} holds no head for {framing} pictures",
            "the heads that this package ships as assets, for non-commercial research",
            "install the package anew with its heads, or choose the data set people",
        )
    own, path = found
    state, _ = mobile_head_file.read(path, framing, own)
    with seeded(Run("untrained")):  # the weights drawn here are thrown away; nobody else's numbers may move
        network = MobileCut(framing, own, mobile_head_file.widths(path)[1])
    load_published(network.mapping, network.features, network.head)
    weights.load(network.head, Checkpoint(path, {"": state}), head="none")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)
