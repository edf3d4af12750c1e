"""Accelerators that costs are told for: what their makers' data sheets say. Knows no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from unveil.harness.words.errors import PlanError

SHARE = 0.35  # of its peak that a card is taken to reach; small networks reach less
RESERVED = 2**30  # bytes that CUDA and its libraries take for themselves
WORKING = 1.25  # times what was counted: convolutions need room to work in; 1.18 to 1.24 was seen, see docs/gpu.md


@dataclass(frozen=True)
class Card:
    """An accelerator.

    Attributes:
        name: As its maker calls it.
        peak: Float32 operations a second, without tensor cores, which full precision here does not use.
        memory: Bytes.
    """

    name: str
    peak: float
    memory: int

    def hours(self, flops: float) -> float:
        """How long so many operations take at `SHARE` of its peak."""
        return flops / (SHARE * self.peak) / 3600

    def fits(self, memory: int) -> bool:
        """Whether so many bytes of weights and results do."""
        return room(memory) <= self.memory


def room(memory: int) -> float:
    """Bytes that a card must have for so many bytes of weights and results."""
    return WORKING * memory + RESERVED


def _card(name: str, teraflops: float, gigabytes: int) -> Card:
    return Card(name, teraflops * 1e12, gigabytes * 2**30)


USUAL = "h100"  # where there is a GPU and none is named
CARDS = {
    "h200": _card("NVIDIA H200 SXM", 67, 141),
    "h100": _card("NVIDIA H100 SXM", 67, 80),
    "a100": _card("NVIDIA A100", 19.5, 80),
    "a100-40": _card("NVIDIA A100 40 GB", 19.5, 40),
    "v100": _card("NVIDIA V100 SXM2", 15.7, 32),
    "l40s": _card("NVIDIA L40S", 91.6, 48),
    "a6000": _card("NVIDIA RTX A6000", 38.7, 48),
    "l4": _card("NVIDIA L4", 30.3, 24),
    "t4": _card("NVIDIA T4", 8.1, 16),
    "rtx4090": _card("NVIDIA GeForce RTX 4090", 82.6, 24),
    "rtx3090": _card("NVIDIA GeForce RTX 3090", 35.6, 24),
}
"""By what they are asked for as. Source: NVIDIA's data sheets, peak single precision and memory of each."""


def card(name: str) -> Card:
    """One of them.

    Raises:
        PlanError: If it is none.
    """
    found = CARDS.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), CARDS, n=1)
        raise PlanError(
            f"no card is called {name[:100]!r}",
            f"one of {', '.join(CARDS)}",
            f"did you mean {near[0]!r}?" if near else "name one of them, or the one that is most like yours",
        )
    return found
