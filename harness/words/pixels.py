"""Pictures as they are kept, 8 bits a value, and as networks see them: float32, made of a few pictures at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

HELD = 2**28  # bytes of 8-bit pictures that are held in memory; of more, those that are looked at are read from a file


def to_uint8(pixels: Tensor) -> Tensor:
    """Rounds pixels in [0, 1] to 8 bits."""
    return (pixels * 255).round_().clamp_(0, 255).to(torch.uint8)


def to_float(pixels: Tensor) -> Tensor:
    """8-bit pixels as float32 in [0, 1]; ``to_uint8`` gives them back exactly.

    Only ever on the CPU: a GPU would multiply by a rounded 1 / 255, and its pictures would be others.
    """
    return pixels.to(torch.float32).div_(255)


def brought_to(pixels: Tensor, shape: Sequence[int]) -> Tensor:
    """Pixels ``(N, C, H, W)`` at another height and width, bilinear and antialiased; 8-bit ones stay so."""
    if tuple(pixels.shape[-2:]) == tuple(shape):
        return pixels
    x = pixels if pixels.is_floating_point() else to_float(pixels)
    x = F.interpolate(x, tuple(shape), mode="bilinear", align_corners=False, antialias=True)
    return x if pixels.is_floating_point() else to_uint8(x)


class Stored(Protocol):
    """Pictures by row ``(N, C, H, W)``: a tensor, or a file whose rows are read when they are asked for."""

    @property
    def shape(self) -> Sequence[int]:
        """``(N, C, H, W)``."""

    @property
    def dtype(self) -> torch.dtype:
        """uint8, or float32 where somebody made them that are no files' pictures."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


class Chosen:
    """Pictures chosen from one or several places; nothing is copied before it is looked at.

    Where pictures differ in size from those of the first part, they are brought to it when they are looked at.

    Args:
        parts: Where they are.
        rows: Which, counted through all parts ``(N,)``; all of them, if None.
    """

    def __init__(self, parts: Sequence[Stored], rows: Tensor | None = None) -> None:
        self.parts = tuple(parts)
        self.rows = torch.arange(sum(map(len, self.parts))) if rows is None else rows

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, C, H, W)``."""
        return len(self.rows), *self.parts[0].shape[1:]

    @property
    def dtype(self) -> torch.dtype:
        """uint8 if all parts are."""
        return next((part.dtype for part in self.parts if part.dtype != torch.uint8), torch.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes in memory if all were looked at as they are."""
        n, c, h, w = self.shape
        return n * c * h * w * self.dtype.itemsize

    @property
    def held(self) -> bool:
        """Whether they are in memory already."""
        return all(isinstance(part, Tensor) for part in self.parts)

    def __len__(self) -> int:
        return len(self.rows)

    def choose(self, index: Tensor | slice) -> Chosen:
        """Some of them."""
        return Chosen(self.parts, self.rows[index])

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        """Some of them, as they are."""
        rows = self.rows[index]
        if len(self.parts) == 1:
            return self.parts[0][rows]
        found, first = torch.empty(len(rows), *self.shape[1:], dtype=self.dtype), 0
        for part in self.parts:
            mine = ((rows >= first) & (rows < first + len(part))).nonzero().flatten()
            if len(mine):
                own = brought_to(part[rows[mine] - first], self.shape[2:])
                found[mine] = own if own.dtype == found.dtype else to_float(own)
            first += len(part)
        return found


def chosen(pictures: Stored) -> Chosen:
    """The same, to choose from."""
    return pictures if isinstance(pictures, Chosen) else Chosen((pictures,))
