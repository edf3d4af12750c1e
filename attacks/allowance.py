"""One person's part of an attack: what of the budget is theirs, and checkpoints that say whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from unveil.harness.types import Access, Budget, Run, Spent, View

LIMITED = ("queries", "gradients")


def allowed(whole: View, budget: Budget) -> View:
    """A view of the same target that answers no more than ``budget`` from now on; what it answers counts for both.

    Args:
        whole: Through which it asks. Nothing else may ask through that one meanwhile.
        budget: Of one person; limited in no more than the whole one is.
    """
    return View.at(_Part(whole, budget))


class _Part:
    """Answers what another view answers, as long as its own budget lasts."""

    def __init__(self, whole: View, budget: Budget) -> None:
        self.access: Access = whole.access
        self.shape, self.classes, self.budget = whole.shape, whole.classes, budget
        self._whole, self._since = whole, whole.spent
        self.ration(1, 1, Spent(), Spent())

    def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        found = getattr(self._whole, part.replace(" ", "_"))(x)
        return found if isinstance(found, tuple) else (found,)

    def spent(self) -> Spent:
        now = self._whole.spent
        queries, gradients = (getattr(now, name) - getattr(self._since, name) for name in LIMITED)
        return Spent(queries, gradients, now.refused and not self._since.refused)

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """As a view's, of its own budget: the whole view is told how far its count may go."""

        def far(name: str) -> int:
            total = self.budget.total(name) or 0  # without a limit the whole view has none either, and heeds nothing
            own = getattr(since, name) + (total - getattr(before, name)) * part // whole
            return int(getattr(self._since, name) + min(total, own))

        queries, gradients = (self._whole.budget.total(name) or 0 for name in LIMITED)
        self._whole.ration(1, 1, Spent(far("queries"), far("gradients")), Spent(queries, gradients))

    def resume(self, spent: Spent) -> None:
        queries, gradients = (getattr(self._since, name) + getattr(spent, name) for name in LIMITED)
        self._whole.resume(Spent(queries, gradients, spent.refused))


@dataclass
class PersonRun(Run):
    """A run for one person of several, whose checkpoints are not taken for another's.

    Who comes next overwrites them, so that there are never more than one person's.

    Attributes:
        whole: The run of all people, which numbers and checkpoints come from.
        person: Whose this is.
        names: Come before the names of its random numbers.
    """

    whole: Run = field(default_factory=lambda: Run(""))
    person: int = -1
    names: tuple[str | int, ...] = ()

    def seed(self, *names: str | int) -> int:
        """The whole run's, of more names."""
        return self.whole.seed(*self.names, *names)

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """As any run, with whose it is."""
        self.whole.save(name, {"person": self.person, "state": dict(state)})

    def load(self, name: str) -> dict[str, Any] | None:
        """As any run, if it is this person's."""
        found = self.whole.load(name)
        return dict(found["state"]) if found is not None and found.get("person") == self.person else None


def of_person(run: Run, person: int) -> PersonRun:
    """The same run for one person, with nothing kept and nothing noted yet."""
    same = {one.name: getattr(run, one.name) for one in fields(Run)}
    return PersonRun(**{**same, "kept": {}, "notes": []}, whole=run, person=person)
