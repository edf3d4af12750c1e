"""Squares that cover a part of each picture, as defenses train with and attacks look through."""

from __future__ import annotations

import torch
from torch import Tensor


def squares(u: Tensor, size: tuple[int, int], smallest: float, largest: float) -> Tensor:
    """Where each picture is covered.

    Args:
        u: Uniform numbers ``(N, 3)`` in [0, 1): share, row and column.
        size: Height and width in pixels. A square that is longer than one of them becomes as long.
        smallest: Smallest share of the pixels.
        largest: Largest.

    Returns:
        ``(N, H, W)`` booleans.

    Example:
        >>> squares(torch.tensor([[0.0, 0.0, 0.99]]), (4, 4), 0.25, 0.25)[0].int()
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1],
                [0, 0, 0, 0],
                [0, 0, 0, 0]], dtype=torch.int32)
    """
    height, width = size
    share = smallest + (largest - smallest) * u[:, 0]
    side = (share * height * width).sqrt().round().clamp(max=min(size))[:, None]
    top, left = ((u[:, i : i + 1] * (length - side + 1)).floor() for i, length in ((1, height), (2, width)))
    rows, columns = torch.arange(height), torch.arange(width)
    inside = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    return inside[0][:, :, None] & inside[1][:, None, :]
