"""Counting what an attack asks of a target, and refusing what is over its budget."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from unveil.harness.words.errors import BudgetSpentError


@dataclass(frozen=True)
class Spent:
    """What an attack has asked of the target so far, in images.

    Attributes:
        queries: Images that the target has answered for.
        gradients: Images that a backward pass went through.
        refused: Whether anything was refused because it was over the budget.
    """

    queries: int = 0
    gradients: int = 0
    refused: bool = False


@dataclass(frozen=True)
class Budget:
    """What an attack may ask at most.

    Attributes:
        queries: Images per attacked identity; None: no limit. The attack as a whole may ask ``identities`` times that.
        gradients: As ``queries``, for backward passes.
        identities: How many identities are attacked.
    """

    queries: int | None = None
    gradients: int | None = None
    identities: int = 1

    def total(self, name: str) -> int | None:
        """What all identities together may spend of ``queries`` or ``gradients``."""
        each: int | None = getattr(self, name)
        return None if each is None else each * self.identities


_NUMBERS = itertools.count()
# A graph knows its meter by number, so that no gradient leads to a count that could be lowered.
_METERS: WeakValueDictionary[int, Meter]


class Meter:
    """Counts what is asked, and refuses what would be over the budget, before it is answered.

    Args:
        budget: The limits.
    """

    def __init__(self, budget: Budget) -> None:
        self.number = next(_NUMBERS)
        _METERS[self.number] = self
        self._budget, self.spent = budget, Spent()
        self._most = {name: budget.total(name) for name in ("queries", "gradients")}

    def charge(self, name: str, count: int) -> None:
        """Counts so many ``queries`` or ``gradients``.

        Raises:
            BudgetSpentError: If that is more than is left; nothing is counted then.
        """
        so_far, most = getattr(self.spent, name), self._most[name]
        if most is not None and so_far + count > most:
            self.spent = replace(self.spent, refused=True)
            raise BudgetSpentError(
                f"{so_far:,} {name} of the target are spent, {count:,} more were asked for, and the budget is {most:,}"
                f" ({getattr(self._budget, name):,} for each of {self._budget.identities} identities)",
                "an attack that stops at its budget and returns what it has",
                f"raise max_{name} in the plan, ask for less, or catch BudgetSpentError in the attack",
            )
        self.spent = replace(self.spent, **{name: so_far + count})

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """Lets ``part / whole`` of what was left after ``before`` be spent beyond ``since``, until the next call."""
        for name in self._most:
            if (total := self._budget.total(name)) is not None:
                left = total - getattr(before, name)
                self._most[name] = min(total, getattr(since, name) + left * part // whole)

    def resume(self, spent: Spent) -> None:
        """Counts at least so much: what an interrupted run had spent."""
        queries, gradients = max(self.spent.queries, spent.queries), max(self.spent.gradients, spent.gradients)
        self.spent = Spent(queries, gradients, self.spent.refused or spent.refused)


def counted(out: Tensor, meter: int) -> Tensor:
    """The same tensor, whose backward passes are counted by the meter of that number."""
    same: Tensor = _CountBackward.apply(out, meter)  # type: ignore[no-untyped-call]
    return same


class _CountBackward(torch.autograd.Function):
    """The identity, which counts the images that a backward pass goes through."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, meter: int) -> Tensor:
        ctx.meter = meter
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        if (meter := _METERS.get(ctx.meter)) is not None:  # the harness keeps a view until its attack has ended
            meter.charge("gradients", len(grads[0]))
        return grads[0], None


_METERS = WeakValueDictionary()
