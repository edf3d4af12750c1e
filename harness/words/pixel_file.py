"""Pictures that stay in their file: more of them than memory has room for.

They are read, not mapped into memory. The system's file cache serves both alike; but what is mapped counts as the
process's own memory from when it was looked at, and a file that is cut short under a map kills the process with SIGBUS,
where reading says what is wrong.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from unveil.harness.words import pixels
from unveil.harness.words.disk import Handle, in_words
from unveil.harness.words.errors import DamageError
from unveil.harness.words.memo import forget_all

SOME_PLACE = "the file in which pictures are gathered"


class PixelFile:
    """Pictures in a file that stays open: deleted or renamed meanwhile, it is still there for whoever reads here.

    Args:
        handle: The file.
        shape: ``(N, C, H, W)``.
        start: Byte at which the first picture begins.
        dtype: Of their values.
    """

    def __init__(self, handle: Handle, shape: Sequence[int], start: int = 0, dtype: torch.dtype = torch.uint8) -> None:
        self.shape, self.dtype, self._handle, self._start = tuple(shape), dtype, handle, start
        self._size = prod(self.shape[1:]) * dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """The pictures at these places ``(n,)``, as they are: ``(n, C, H, W)``.

        Raises:
            DamageError: If the file ends before them; whoever remembers something of it has forgotten that then.
        """
        found = torch.empty(len(rows), *self.shape[1:], dtype=self.dtype)
        buffer = memoryview(found.numpy().data).cast("B") if found.numel() else memoryview(b"")
        for first, place, count in _runs(rows.tolist()):
            part = buffer[first * self._size : (first + count) * self._size]
            if self._read(part, self._start + place * self._size) < len(part):
                forget_all()
                raise DamageError(
                    f"the file with the pictures, {self._handle.file.name}, ends before picture {place + count}",
                    "all of it: something has cut it short since it was opened",
                    "run the plan again: what was cut is found, set aside and computed anew",
                )
        return found

    def _read(self, into: memoryview, place: int) -> int:
        """Bytes read; where the system can, without moving the place that other processes may share."""
        done, file = 0, self._handle.file
        while done < len(into):
            if hasattr(os, "preadv"):
                more = os.preadv(file.fileno(), [into[done:]], place + done)
            else:
                with self._handle.lock:
                    file.seek(place + done)
                    more = file.readinto(into[done:])
            if not more:
                break
            done += more
        return done


class Room:
    """Where pictures are gathered: in memory, or if they are many in a file that goes when nobody has it open.

    Args:
        shape: ``(N, C, H, W)``.
        folder: Where such a file may be; None for the system's own place.
        dtype: Of their values: 8 bits for pictures as they are kept, float32 for those that must stay as they are.
    """

    def __init__(self, shape: Sequence[int], folder: Path | None, dtype: torch.dtype = torch.uint8) -> None:
        self.shape, self.dtype, few = tuple(shape), dtype, prod(shape) * dtype.itemsize <= pixels.HELD
        self._memory, self._handle = torch.empty(self.shape if few else 0, dtype=dtype), None
        if few:
            return
        with in_words(SOME_PLACE):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._handle = Handle(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 (a handle closes it)

    def put(self, row: int, pictures: Tensor) -> None:
        """Puts pictures ``(n, C, H, W)`` of its type, on the CPU, in their places, from a row on; several threads may.

        Raises:
            StoreError: If the disk is full.
        """
        if self._handle is None:
            self._memory[row : row + len(pictures)] = pictures
            return
        with in_words(SOME_PLACE), self._handle.lock:
            self._handle.file.seek(row * prod(self.shape[1:]) * self.dtype.itemsize)
            self._handle.file.write(pictures.contiguous().numpy().data)

    def filled(self) -> Tensor | PixelFile:
        """All of them.

        Raises:
            StoreError: If the disk is full.
        """
        if self._handle is None:
            return self._memory
        with in_words(SOME_PLACE):
            self._handle.file.flush()
        return PixelFile(self._handle, self.shape, dtype=self.dtype)


def exactly(parts: Iterable[Tensor], shape: Sequence[int], folder: Path | None) -> Tensor | PixelFile:
    """Float32 pictures that are drawn part by part, as they are to the last bit: in memory, or in a file of their own.

    Args:
        parts: Pixels ``(n, C, H, W)`` on the CPU.
        shape: Of all of them, ``(N, C, H, W)``.
        folder: As of `Room`.

    Raises:
        StoreError: If the disk is full.
    """
    room, done = Room(shape, folder, torch.float32), 0
    for part in parts:
        room.put(done, part)
        done += len(part)
    return room.filled()


def _runs(rows: Sequence[int]) -> list[tuple[int, int, int]]:
    """Rows that follow each other in the file: where they come in the answer, where they begin, and how many.

    >>> _runs([4, 5, 6, 2, 9])
    [(0, 4, 3), (3, 2, 1), (4, 9, 1)]
    """
    runs: list[tuple[int, int, int]] = []
    for i, row in enumerate(rows):
        if runs and row == runs[-1][1] + runs[-1][2]:
            runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((i, row, 1))
    return runs
