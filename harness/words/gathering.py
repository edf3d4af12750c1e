"""Reconstructions as they are drawn: of many, each part is rounded to 8 bits and put away before the next is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from unveil.harness.words import pixels
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.images import Images
from unveil.harness.words.pixel_file import Room

DIVERGED = "lower the attack's learning rate or step size; if it has none, repair the attack"


class Gathering:
    """Takes pictures as they are made: 8 bits a value, in memory, or if they are many in a file without a name.

    Args:
        count: Pictures there will be.
        shape: ``(C, H, W)`` of each.
        folder: Where the file may be, such as ``run.scratch``; None for the system's own place.

    Raises:
        StoreError: If the disk is full.
    """

    def __init__(self, count: int, shape: Sequence[int], folder: Path | None) -> None:
        self.count, self._room = count, Room((count, *shape), folder)

    def put(self, first: int, pictures: Tensor) -> None:
        """Puts pictures ``(n, C, H, W)`` in their places, from a row on.

        Args:
            first: The row.
            pictures: In [0, 1], or with 8 bits already; on whatever device.

        Raises:
            StoreError: If the disk is full.
            UnveilError: If pixels are not finite, which 8 bits cannot say.
        """
        whole = pictures.detach().cpu()
        self._room.put(first, whole if whole.dtype == torch.uint8 else rounded(whole, self.count))

    def images(self, labels: Tensor) -> Images:
        """All of them, labelled ``(count,)`` with whom each is meant to show."""
        return Images(self._room.filled(), labels)


def gathered(parts: Iterable[Tensor], labels: Tensor, folder: Path | None) -> Images:
    """Pictures that are drawn part by part, of which few stay float32 as they are.

    Args:
        parts: Pixels ``(n, C, H, W)`` in [0, 1], or with 8 bits already, on the CPU; one or more.
        labels: Of all of them ``(N,)``.
        folder: As of `Gathering`.

    Raises:
        StoreError: If the disk is full.
        UnveilError: If pixels of many are not finite.
    """
    drawn = iter(parts)
    first = next(drawn)
    if 4 * len(labels) * first[0].numel() <= pixels.HELD:
        return Images(torch.cat([first, *drawn]), labels)
    made, done = Gathering(len(labels), first.shape[1:], folder), len(first)
    made.put(0, first)
    del first
    for part in drawn:
        made.put(done, part)
        done += len(part)
    return made.images(labels)


def rounded(part: Tensor, of: int) -> Tensor:
    """Pixels ``(n, C, H, W)`` in [0, 1] with 8 bits.

    Args:
        part: Some pictures.
        of: How many there are in all.

    Raises:
        UnveilError: If one is not finite.
    """
    lost = int((~torch.isfinite(part.flatten(1))).any(1).sum())
    if lost:
        raise UnveilError(
            f"the attack drew pixels that are not finite, in {lost} of {len(part)} pictures, of {of} in all: "
            "its search diverged",
            "finite pixels in [0, 1] for every label",
            DIVERGED,
        )
    return pixels.to_uint8(part)
