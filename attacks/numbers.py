"""Random numbers for each sample and step, which depend on neither the batch nor the steps before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unveil.attacks.search import Key
from unveil.harness.types import Run

BLOCK = 64  # steps whose numbers are drawn at once; part of the numbers, so not a setting


class Numbers:
    """Draws for a block of steps at a time, since starting a generator costs more than most draws.

    Args:
        run: Source of the numbers.
        name: What they are for.
        count: Numbers per sample and step.
        draw: ``torch.rand`` or ``torch.randn``.
        device: Where they are wanted.
    """

    def __init__(self, run: Run, name: str, count: int, draw: Callable[..., Tensor], device: torch.device) -> None:
        self._run, self._name, self._count, self._draw, self._device = run, name, count, draw, device
        self._drawn: tuple[Sequence[Key], int] | None = None
        self._block = torch.empty(0)

    def at(self, keys: Sequence[Key], t: int) -> Tensor:
        """Numbers ``(len(keys), count)`` of step t."""
        block, row = divmod(t, BLOCK)
        if self._drawn != (keys, block):
            generators = self._run.generators(self._name, [(*key, block) for key in keys])
            drawn = [self._draw(BLOCK, self._count, generator=g) for g in generators]
            self._block, self._drawn = torch.stack(drawn).to(self._device), (keys, block)
        return self._block[:, row]


def uniform(run: Run, name: str, count: int) -> Numbers:
    """In [0, 1), on the CPU: what they decide, such as where a crop begins, must not hang on a device's rounding."""
    return Numbers(run, name, count, torch.rand, torch.device("cpu"))


def normal(run: Run, name: str, count: int) -> Numbers:
    """Standard normal, on the run's device."""
    return Numbers(run, name, count, torch.randn, run.device)
