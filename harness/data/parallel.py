"""Many files at a time: reading waits for the disk, and decoding is C code that lets other threads work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
MOST = 16  # threads
GIVEN_OUT = 4096  # files at a time: what a thread pool keeps of each, and of what came of it, is not little


def in_parallel(read: Callable[[int, Path], T], files: Sequence[Path], each: int = 1) -> Iterator[T]:
    """What comes of each file, in order.

    Args:
        read: Given a place in the list and the file there.
        files: The list.
        each: Threads for each processor.
    """
    with ThreadPoolExecutor(min(MOST, each * (os.cpu_count() or 1))) as pool:
        for start in range(0, len(files), GIVEN_OUT):
            part = files[start : start + GIVEN_OUT]
            yield from pool.map(read, range(start, start + len(part)), part)
