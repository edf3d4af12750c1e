"""A moment at which a run ends: what it is at then goes on to its next checkpoint, and nothing long is begun."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from unveil.harness.plan.node import Node
from unveil.harness.running.forecast import QUICK

NO_TIME = "not tried: no time left"
"""Begins the error of a step that a deadline ended, or kept from being begun."""


@dataclass(frozen=True)
class Deadline:
    """When a run should be over.

    Attributes:
        at: Seconds as ``time.time`` counts them, which other processes do, too.
        clock: That.
    """

    at: float
    clock: Callable[[], float] = time.time

    @classmethod
    def within(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.time() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then; below 0 afterwards."""
        return self.at - self.clock()

    def passed(self) -> bool:
        """Whether it is over."""
        return self.left <= 0

    def refusal(self, node: Node, seconds: float) -> str:
        """Why a step is not begun; empty if it is. What is short is always begun, so that what was found is measured.

        Args:
            node: The step.
            seconds: That it may take; 0 where nobody knows.
        """
        if node.kind in QUICK or self.left > max(seconds, 0.0):
            return ""
        return NO_TIME if self.passed() else f"{NO_TIME} for the {seconds:.0f} s that it may take"
