"""How a GPU computes convolutions: the same way each time, in full float32 or not. A CPU is left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def steady(*, rounded: bool = False) -> Iterator[None]:
    """Inside the block cuDNN computes the same each time, in float32 throughout.

    Left to itself it chooses algorithms that add in any order, and rounds the factors of float32 to 10 bits (TF32).

    Args:
        rounded: Whether it may round, where mixed precision is asked for.
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=rounded):
        yield
