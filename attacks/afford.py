"""Fits an attack that has several stages into a budget: every identity gets the same, and no stage starves another."""

from __future__ import annotations

from unveil.harness.types import Budget


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
