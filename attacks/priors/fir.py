"""Resampling with the FIR filter [1, 3, 3, 1], which keeps StyleGAN2 free of aliasing (Karras et al. 2019, 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = (1.0, 3.0, 3.0, 1.0)


def kernel() -> Tensor:
    """The filter ``(4, 4)``, separable, with sum one."""
    taps = torch.tensor(TAPS)
    return torch.outer(taps, taps) / taps.sum() ** 2


def _each(x: Tensor, f: Tensor) -> Tensor:
    """The filter once for each channel of x, as the weights of a depthwise convolution ``(C, 1, 4, 4)``."""
    return f.expand(x.shape[1], 1, 4, 4)


def blur(x: Tensor, f: Tensor, padding: int) -> Tensor:
    """Filters ``(N, C, H, W)`` with that much padding by zeros: H becomes ``H + 2 padding - 3``."""
    return F.conv2d(x, _each(x, f), padding=padding, groups=x.shape[1])


def double(x: Tensor, f: Tensor) -> Tensor:
    """Twice as many pixels a side: zeros between the pixels, filtered, with the brightness kept."""
    return F.conv_transpose2d(x, _each(x, 4 * f), stride=2, padding=1, groups=x.shape[1])


def halve(x: Tensor, f: Tensor) -> Tensor:
    """Half as many pixels a side: filtered, then every other pixel."""
    return F.conv2d(x, _each(x, f), stride=2, padding=1, groups=x.shape[1])
