"""Fits an attack that has several stages into a budget: every identity gets the same, and no stage starves another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from unveil.attacks.frozen import prior_of
from unveil.attacks.search import OverPrior
from unveil.harness.types import Access, Budget, Generator, Images, Ingredients, Run, View


class Staged(OverPrior, ABC):
    """What PPA and MIRROR share: stages over one prior, which know what they ask for together.

    A dataclass of settings.
    """

    access: ClassVar[Access] = Access.WHITE_BOX

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives so many pictures of each label as its settings say; see `harness.types.Attack.reconstruct`."""
        prior, attack = prior_of(ingredients, run), self.within(view.budget, len(labels))
        tell(self, attack, run)
        return attack.attack(view, prior, labels, run)

    @abstractmethod
    def within(self, budget: Budget, identities: int) -> Self:
        """The same attack, cut where the budget does not reach."""

    @abstractmethod
    def attack(self, view: View, prior: Generator, labels: Tensor, run: Run) -> Images:
        """Goes through its stages, whatever that costs."""


def tell(before: Any, after: Any, run: Run) -> None:
    """Notes what of an attack was cut to keep its budget."""
    if cut := changed(before, after):
        run.note("kept to its budget with " + ", ".join(cut))


def changed(before: Any, after: Any) -> list[str]:
    """Settings that differ, as ``name = value`` of the second."""
    assert is_dataclass(after)
    pairs = [(f.name, getattr(before, f.name), getattr(after, f.name)) for f in fields(after)]
    return [f"{name} = {new}" for name, old, new in pairs if new != old]


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
