"""The part of each picture that somebody looks at: the same of pictures of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from unveil.harness.words.images import Images
from unveil.harness.words.pixels import Stored

Window: TypeAlias = tuple[float, float, float, float]
"""Left, top, width and height, as shares of a picture's."""


def place(window: Window, shape: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns of a window in pictures of that height and width, to the nearest pixel; one each at least."""
    height, width = shape
    left, top, wide, high = window
    at, down = round(left * width), round(top * height)
    return slice(down, down + max(1, round(high * height))), slice(at, at + max(1, round(wide * width)))


class Cut:
    """Pictures of which the same part is cut out of each when it is looked at; nothing is copied before.

    Args:
        whole: The pictures.
        window: The part.
    """

    def __init__(self, whole: Stored, window: Window) -> None:
        self._whole, self._place = whole, place(window, whole.shape[2:])

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, C, H, W)`` of the parts."""
        rows, columns = self._place
        return *self._whole.shape[:2], rows.stop - rows.start, columns.stop - columns.start

    @property
    def dtype(self) -> torch.dtype:
        """That of the pictures."""
        return self._whole.dtype

    def __len__(self) -> int:
        return len(self._whole)

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        return self._whole[rows][..., *self._place]


def seen_through(window: Window, images: Images) -> Images:
    """The same pictures, of each the part that a window shows."""
    kept = images.stored
    if isinstance(kept, Tensor):
        return Images(kept[..., *place(window, kept.shape[2:])], images.labels)
    return Images(Cut(kept, window), images.labels)
