"""Attacks around another one, their base: they change what it is told or what it searches, and let it do the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from unveil.harness.types import Demanding, Generator, Need, Spec
from unveil.harness.words.needs import needs_of


class AroundBase(ABC):
    """What such attacks share: whatever they do not change is as the base has it.

    A dataclass of settings.

    Attributes:
        base: The attack, with its settings.
    """

    base: Spec

    @abstractmethod
    def attack(self) -> Any:
        """The base, as its settings make it."""

    @property
    def draws_in_full(self) -> bool:
        """Whether the prior draws in float32 whatever the run's precision: as its base."""
        return bool(getattr(self.attack(), "draws_in_full", False))

    @property
    def shown_each(self) -> int:
        """How many pictures are shown of each that the prior draws: as its base."""
        return int(getattr(self.attack(), "shown_each", 1))

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior that cannot serve its base; see `harness.types.Demanding`."""
        base = self.attack()
        if isinstance(base, Demanding):
            base.require_prior(prior, shape)

    def needs(self) -> Mapping[str, Need]:
        """What the base needs."""
        return needs_of(self.attack())
