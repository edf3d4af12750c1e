"""Fits an attack that has several stages into a budget: every identity gets the same, and no stage starves another."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, Protocol, TypeVar

from torch import Tensor

from unveil.harness.types import Budget, Run


class Staged(Protocol):
    """An attack that knows what its stages ask for together: a dataclass of settings."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def within(self: S, budget: Budget, identities: int) -> S:
        """The same attack, cut where the budget does not reach."""
        ...


S = TypeVar("S", bound=Staged)


def kept_to(budget: Budget, attack: S, labels: Tensor, run: Run) -> S:
    """The attack, cut to the budget; what was cut is noted.

    Args:
        budget: The limits.
        attack: As it was set.
        labels: Who is attacked ``(K,)``.
        run: Where the note goes.
    """
    fits = attack.within(budget, len(labels))
    cut = [f.name for f in fields(fits) if getattr(fits, f.name) != getattr(attack, f.name)]
    if cut:
        run.note("kept to its budget with " + ", ".join(f"{name} = {getattr(fits, name)}" for name in cut))
    return fits


def share(budget: Budget, queries: int) -> float:
    """How much of its queries an attack can afford.

    Args:
        budget: The limits.
        queries: What the attack would ask for all identities together.

    Returns:
        Greater than 0, and 1 where the budget is no limit.
    """
    most = budget.total("queries")
    return 1.0 if most is None else min(1.0, most / queries)


def steps(budget: Budget, samples: int, wanted: int) -> int:
    """How many gradient steps so many samples can afford; 1 at least."""
    most = budget.total("gradients")
    return wanted if most is None else max(1, min(wanted, most // samples))
