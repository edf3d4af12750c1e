"""Memory that a step frees stays with its process until the step ends.

glibc gives the end of its heap back as soon as some megabytes of it are free. A step frees and asks for the same
megabytes with every batch of pictures, and the system must clear each page before it hands it out again: a tenth of
the time of an attack on 128 pictures at once.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # as <malloc.h> numbers them
KEPT = 2**30  # bytes that may be free at the end of the heap
LARGE = 2**25  # bytes from which on a block is mapped by itself; glibc takes no more, and comes to it by itself
CHOICES = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")
"""Settings by which somebody may have chosen already: that is kept."""


@contextmanager
def kept() -> Iterator[None]:
    """Keeps what is freed inside the block, up to ``KEPT``, and gives it back at its end."""
    libc = None if any(name in os.environ for name in CHOICES) else _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(TRIM_THRESHOLD, KEPT)
    libc.mallopt(MMAP_THRESHOLD, LARGE)
    try:
        yield
    finally:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is one whose heap can be told so."""
    try:
        libc = ctypes.CDLL(None)
        return libc if libc.mallopt and libc.malloc_trim else None
    except (AttributeError, OSError, TypeError):  # another library, or a system that gives none
        return None
