"""The networks of PLG-MI: a generator that is told the class, and a discriminator that judges picture and class."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from unveil.attacks.priors.networks import halvings, square_side
from unveil.harness.types import ConditionalGenerator

LATENT = 128
Critic = TypeVar("Critic", bound=nn.Module)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose scale and shift belong to the class: 1 and 0 at first.

    Args:
        channels: Of the input.
        classes: How many scales and shifts there are.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Of ``x`` ``(N, channels, H, W)`` with classes ``(N,)``; for None, the mean scale and shift of all."""
        if y is None:
            scale, shift = self.scale.weight.mean(0)[None], self.shift.weight.mean(0)[None]
        else:
            scale, shift = self.scale(y), self.shift(y)
        return torch.addcmul(shift[..., None, None], self.norm(x), scale[..., None, None])


class Up(nn.Module):
    """Residual block that doubles the side: cBN, ReLU, bilinear x2, 3x3, cBN, ReLU, 3x3.

    Args:
        a: Channels in.
        b: Channels out.
        classes: Of the normalisation.
    """

    def __init__(self, a: int, b: int, classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalBatchNorm(a, classes), ConditionalBatchNorm(b, classes)
        self.conv1, self.conv2 = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, padding=1)
        self.shortcut = nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """``(N, a, H, W)`` to ``(N, b, 2H, 2W)``."""
        h = self.conv1(_double(F.relu(self.norm1(x, y))))
        h = self.conv2(F.relu(self.norm2(h, y)))
        out: Tensor = h + _double(self.shortcut(x))  # 1x1 and bilinear commute; this way round costs a quarter
        return out


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class GPLG(nn.Module):
    """Latents and classes to pixels by residual blocks, each doubling the side, from 4x4 (see `halvings`).

    Args:
        shape: Shape ``(C, H, W)`` of the images.
        classes: Number of classes.
        width: Channels before the last layer; 64 as published (17,973,379 parameters at 3x64x64, 1000 classes).
        signed: Whether pixels are in [-1, 1], as published, whatever everybody else's are.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int = 64, *, signed: bool = False) -> None:
        super().__init__()
        self.signed = signed
        ups = halvings(square_side(shape))
        wide, side = width << ups, shape[-1] >> ups
        self.start = nn.Sequential(nn.Linear(LATENT, wide * side**2), nn.Unflatten(1, (wide, side, side)))
        self.blocks = nn.ModuleList(Up(wide >> k, wide >> (k + 1), classes) for k in range(ups))
        self.end = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, shape[0], 1), nn.Tanh())
        _xavier(self)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Latents ``(N, 128)`` and classes ``(N,)``, or None for the mean of all, to pixels ``(N, C, H, W)``.

        ``(tanh + 1) / 2``, so in [0, 1], which is where the target and the real pictures live, too.
        """
        h = self.start(z)
        h = h.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            h = block(h, y)
        out: Tensor = self.end(h)
        return out if self.signed else (out + 1) / 2


class Down(nn.Module):
    """Residual block that halves the side: (ReLU,) 3x3, ReLU, 3x3, mean of 2x2.

    Args:
        a: Channels in.
        b: Channels out.
        first: Whether it sees pixels: then it starts without ReLU, and widens in its first convolution.
    """

    def __init__(self, a: int, b: int, *, first: bool = False) -> None:
        super().__init__()
        self.first, middle = first, b if first else a
        self.conv1, self.conv2 = nn.Conv2d(a, middle, 3, padding=1), nn.Conv2d(middle, b, 3, padding=1)
        self.shortcut = nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, a, H, W)`` to ``(N, b, H/2, W/2)``."""
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        out: Tensor = F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))  # 1x1 and mean commute, too
        return out


class DPLG(nn.Module):
    """Scores a picture as one of its class: ``ψ(v) + <embed(y), v>``, all layers spectrally normalised.

    Args:
        shape: Shape ``(C, H, W)`` of the images.
        classes: Number of classes.
        width: Channels of the first block; 64 as published (11,165,441 parameters at 3x64x64, 1000 classes).
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int = 64) -> None:
        super().__init__()
        downs = halvings(square_side(shape))
        blocks = [Down(width << k, width << (k + 1)) for k in range(downs)]
        self.blocks = nn.Sequential(Down(shape[0], width, first=True), *blocks)
        self.score, self.embed = nn.Linear(width << downs, 1), nn.Embedding(classes, width << downs)
        _xavier(self)
        nn.init.xavier_uniform_(self.embed.weight)
        for layer in (*_layers(self), self.embed):
            spectral_norm(layer)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Pixels ``(N, C, H, W)`` and classes ``(N,)`` to scores ``(N,)``; without classes, only ``ψ(v)``."""
        v = F.relu(self.blocks(x)).sum((2, 3))
        out: Tensor = self.score(v)[:, 0]
        return out if y is None else out + (self.embed(y) * v).sum(1)


def _layers(network: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    return (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))


def _xavier(network: nn.Module) -> None:
    for layer in _layers(network):
        wide = isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
        nn.init.xavier_uniform_(layer.weight, sqrt(2) if wide else 1.0)


class TaughtGPLG(ConditionalGenerator, Generic[Critic]):
    """PLG-MI's generator with the network that it was trained against, which says how real a picture is.

    Attributes:
        network: The generator.
        critic: What it was trained against.
    """

    latent = LATENT

    def __init__(self, network: GPLG, critic: Critic) -> None:
        super().__init__()
        self.network, self.critic = network, critic

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents ``(N, 128)`` and classes ``(N,)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        out: Tensor = self.network(z, y)
        return out

    def synthesize(self, z: Tensor) -> Tensor:
        """As `synthesize_as`, of nobody in particular: with the mean scale and shift of all classes."""
        out: Tensor = self.network(z, None)
        return out
