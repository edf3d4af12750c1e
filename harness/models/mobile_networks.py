"""MobileStyleGAN: a StyleGAN2 distilled into depthwise convolutions and wavelets, and a small head for small pictures.

Belousov, MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis, 2021. The
published network: z 512 to w 512 by eight layers, then one modulated convolution at 4 pixels and two at each resolution
from 8 to 512, joined by inverse Haar wavelets, and one wavelet more to 1024 pixels. Noise is constant, and so is
demodulation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of every leaky ReLU
GAIN = 2**0.5  # after those of the mapping network
SIDE = 1024  # of what the whole network draws
Widths = Sequence[tuple[int, int]]
Framing: TypeAlias = Literal["arcface", "ffhq"]
PUBLISHED: Widths = ((512, 512),) * 4 + ((512, 256), (256, 128), (128, 64))


class Mapping(nn.Module):
    """z to w.

    Args:
        size: Length of both.
        depth: Layers.

    Attributes:
        w_avg: Mean of w, ``(size,)``.
    """

    w_avg: Tensor

    def __init__(self, size: int = 512, depth: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(depth))
        self.register_buffer("w_avg", torch.zeros(size))

    def forward(self, z: Tensor) -> Tensor:
        """Latents ``(N, size)`` to styles ``(N, size)``."""
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            w = F.leaky_relu(layer(w), SLOPE) * GAIN
        return w


class Modulated(nn.Module):
    """A convolution of pixels that a style has weighed channel by channel, with constant noise and a leaky ReLU.

    Args:
        before: Channels in.
        after: Channels out.
        size: Height and width.
        style: Length of a style.
        separable: A depthwise 3x3 and a 1x1 convolution; otherwise a whole 3x3.
    """

    noise: Tensor

    def __init__(self, before: int, after: int, size: int, style: int, *, separable: bool = True) -> None:
        super().__init__()
        self.style = nn.Linear(style, before)
        self.depthwise = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False) if separable else None
        kernel = 1 if separable else 3
        self.conv = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        self.register_buffer("noise", torch.zeros(1, 1, size, size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``(N, before, H, H)`` and styles ``(N, style)`` to ``(N, after, H, H)``."""
        x = weighed(x, self.style(w))
        x = self.conv(x if self.depthwise is None else self.depthwise(x))
        out: Tensor = F.leaky_relu(x.add_(self.noise), SLOPE, inplace=True)  # at 512 pixels memory is what costs
        return out


class Block(nn.Module):
    """One resolution: a modulated inverse wavelet and two modulated convolutions.

    Args:
        before: Channels in; a quarter of them comes out of the wavelet.
        after: Channels out.
        size: Height and width of the output.
        style: Length of a style.
    """

    def __init__(self, before: int, after: int, size: int, style: int) -> None:
        super().__init__()
        self.style = nn.Linear(style, before)
        self.first = Modulated(before // 4, after, size, style)
        self.second = Modulated(after, after, size, style)

    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """``(N, before, H, H)`` and two rows of styles to ``(N, after, 2H, 2H)``."""
        x = inverse_wavelet(weighed(x, self.style(first)))
        out: Tensor = self.second(self.first(x, first), second)
        return out


class Features(nn.Module):
    """The synthesis network up to one resolution, one row of styles for each convolution.

    Args:
        widths: Channels in and out of each resolution from 8 on.
        style: Length of a style.

    Attributes:
        rows: Styles that it takes.
        resolution: Height and width of what it gives.
        depth: Parts that it can be run in.
    """

    def __init__(self, widths: Widths, style: int = 512) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.zeros(1, widths[0][0], 4, 4))
        self.first = Modulated(widths[0][0], widths[0][0], 4, style, separable=False)
        self.blocks = nn.ModuleList(Block(a, b, 8 << k, style) for k, (a, b) in enumerate(widths))
        self.rows, self.resolution, self.channels = 1 + 2 * len(widths), 4 << len(widths), widths[-1][1]
        self.depth = 1 + len(widths)

    def forward(self, ws: Tensor) -> Tensor:
        """Styles ``(N, at least rows, style)`` to ``(N, channels, resolution, resolution)``."""
        x = self.part(0, None, ws)
        for i in range(1, self.depth):
            x = self.part(i, x, ws)
        return x

    def part(self, i: int, x: Tensor | None, ws: Tensor) -> Tensor:
        """Features of part i, one resolution, of those of the part before; the first starts from a constant."""
        if x is None:
            out: Tensor = self.first(self.const.expand(len(ws), -1, -1, -1), ws[:, 0])
        else:
            out = self.blocks[i - 1](x, ws[:, 2 * i - 1], ws[:, 2 * i])
        return out


class ToPicture(nn.Module):
    """The whole network's end: features to wavelet coefficients of the colours to pixels.

    Args:
        channels: Of the features.
        style: Length of a style.
    """

    rows = 1

    def __init__(self, channels: int, style: int = 512) -> None:
        super().__init__()
        self.style = nn.Linear(style, channels)
        self.conv = nn.Conv2d(channels, 12, 1)

    def forward(self, x: Tensor, ws: Tensor) -> Tensor:
        """``(N, channels, H, H)`` and styles ``(N, 1, style)`` to ``(N, 3, 2H, 2H)`` around [-1, 1]."""
        return inverse_wavelet(self.conv(weighed(x, self.style(ws[:, 0]))))


class Head(nn.ModuleDict):
    """A small end for small pictures, learnt from the whole network's: features of n pixels to pictures of 2n, 4n, ...

    Every doubling has two modulations ``m``, 1x1 convolutions ``c`` and depthwise ones ``d``, a pixel shuffle between
    the first of them and the second; then come one modulation more and a 3x3 convolution ``c`` to the colours. They are
    numbered through: a head that doubles once has ``m1`` to ``m3``, ``c1`` to ``c3``, ``d1`` and ``d2``.

    Args:
        channels: Of the features.
        widths: Channels behind each shuffle.
        style: Length of a style.

    Attributes:
        rows: Styles that it takes.
        doublings: How often it doubles height and width.
    """

    def __init__(self, channels: int, widths: Sequence[int] = (64,), style: int = 512) -> None:
        super().__init__()
        self.doublings, self.rows = len(widths), 2 * len(widths) + 1
        before = (channels, *widths)
        for n in range(1, self.rows + 1):
            self[f"m{n}"] = nn.Linear(style, before[n // 2])
        for n, (a, b) in zip(range(1, self.rows, 2), itertools.pairwise(before), strict=True):
            self[f"c{n}"], self[f"d{n}"] = nn.Conv2d(a, 4 * b, 1), nn.Conv2d(4 * b, 4 * b, 3, padding=1, groups=4 * b)
            self[f"d{n + 1}"], self[f"c{n + 1}"] = nn.Conv2d(b, b, 3, padding=1, groups=b), nn.Conv2d(b, b, 1)
        self[f"c{self.rows}"] = nn.Conv2d(before[-1], 3, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Styles change nothing at first, and depthwise convolutions keep what they are given."""
        for layer in self.values():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.ones_(layer.bias)
            elif isinstance(layer, nn.Conv2d) and layer.groups > 1:
                nn.init.dirac_(layer.weight, groups=layer.groups)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, ws: Tensor) -> Tensor:
        """``(N, channels, n, n)`` and styles ``(N, rows, style)`` to ``(N, 3, n << doublings, ...)`` around [-1, 1]."""
        for n in range(1, self.rows, 2):
            x = F.leaky_relu(self[f"d{n}"](self[f"c{n}"](self._modulated(x, ws, n))), SLOPE)
            x = F.pixel_shuffle(x, 2)
            x = F.leaky_relu(self[f"c{n + 1}"](self[f"d{n + 1}"](self._modulated(x, ws, n + 1))), SLOPE)
        out: Tensor = self[f"c{self.rows}"](self._modulated(x, ws, self.rows))
        return out

    def _modulated(self, x: Tensor, ws: Tensor, n: int) -> Tensor:
        return weighed(x, self[f"m{n}"](ws[:, n - 1]))


@dataclass(frozen=True)
class Window:
    """A square part of the network's frame.

    Attributes:
        left: Of the frame's width, where it begins.
        top: Of the frame's height, where it begins.
        side: Of the frame's width, how much it is.
    """

    left: float = 0.0
    top: float = 0.0
    side: float = 1.0

    def sample(self, x: Tensor, size: int) -> Tensor:
        """The part of ``(N, C, H, H)`` as ``(N, C, size, size)``, interpolated, not antialiased."""
        if self.side == 1 and size == x.shape[-1]:
            return x
        at = (torch.arange(size, device=x.device, dtype=x.dtype) + 0.5) / size * self.side
        across, down = (2 * (at + self.left) - 1).expand(size, -1), (2 * (at + self.top) - 1)[:, None].expand(-1, size)
        grid = torch.stack((across, down), -1).expand(len(x), -1, -1, -1)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def cut(self, x: Tensor) -> Tensor:
        """The part of pixels ``(N, C, H, H)``, to whole pixels."""
        width = x.shape[-1]
        left, top, side = (round(width * share) for share in (self.left, self.top, self.side))
        return x[..., top : top + side, left : left + side]


FRAMINGS: dict[Framing, Window] = {
    "ffhq": Window(),
    "arcface": Window(128 / SIDE, 117 / SIDE, 776 / SIDE),  # where a detector found the five points, on 80 samples
}


def cut(size: int, widths: Sequence[int]) -> tuple[Features, Head]:
    """The network up to where a head draws on, and that head, both without their weights.

    Args:
        size: Of the head's pictures.
        widths: Channels behind each of the head's doublings.
    """
    side = size >> len(widths)
    blocks = next((k for k in range(1, len(PUBLISHED)) if 4 << k >= side), len(PUBLISHED))
    features = Features(PUBLISHED[:blocks])
    return features, Head(features.channels, widths)


def small(features: Features, head: Head, window: Window, size: int, w: Tensor) -> Tensor:
    """Styles ``(N, features.rows + head.rows, style)`` to pixels ``(N, 3, size, size)`` around [-1, 1]."""
    return headed(features(w), head, window, size, w[:, features.rows :])


def headed(x: Tensor, head: Head, window: Window, size: int, ws: Tensor) -> Tensor:
    """Features and the head's styles ``(N, head.rows, style)`` to pixels ``(N, 3, size, size)`` around [-1, 1]."""
    out: Tensor = head(window.sample(x, size >> head.doublings), ws)
    return out


def weighed(x: Tensor, style: Tensor) -> Tensor:
    """Channels of ``(N, C, H, W)`` times ``(N, C)``."""
    return x * style[:, :, None, None]


def inverse_wavelet(x: Tensor) -> Tensor:
    """Haar coefficients ``(N, 4C, H, W)`` to ``(N, C, 2H, 2W)``: C low-pass channels, then three of each."""
    n, _, height, width = x.shape
    count = x.shape[1] // 4
    low, high = x[:, :count], x[:, count:].reshape(n, count, 3, height, width)
    rows, columns, both = high.unbind(2)
    top = torch.stack((low + rows + columns + both, low + rows - columns - both), -1)
    bottom = torch.stack((low - rows + columns - both, low - rows - columns + both), -1)
    return 0.5 * torch.stack((top, bottom), 3).reshape(n, count, 2 * height, 2 * width)
