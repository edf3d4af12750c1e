"""Whom an attack recovers: of whom most pictures are taken for the right person, by most of the recognisers.

A recogniser is a judge of the plan, and only those that are fit count. How the count depends on both rules is told
with it, since either could be chosen to please.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from unveil.harness.figures.intervals import interval
from unveil.harness.words.names import Role
from unveil.leaderboard.board import Board
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, estimate, scored
from unveil.leaderboard.spending import spent
from unveil.leaderboard.strengths import averaged


def one(share: float) -> bool:
    """Whether a recogniser that accepts this share of a person's pictures accepts any."""
    return share > 0


def most(share: float) -> bool:
    """Whether it accepts more than half."""
    return share > 0.5


def every(share: float) -> bool:
    """Whether it accepts all."""
    return share >= 1


Rule = Callable[[float], bool]
RULES: Mapping[str, Rule] = {"at least one picture": one, "most pictures": most, "every picture": every}


@dataclass(frozen=True)
class Recovery:
    """What one attack makes of a model's people, as the fit recognisers see it.

    Attributes:
        attack: Name of the attack or control.
        role: What it is a control for; empty for an attack.
        judges: Names of the recognisers, all fit.
        accepted: Share of a person's pictures that a recogniser accepts, by person and recogniser.
        share: Of all pictures, averaged over the recognisers.
        queries: Pictures that the model answered for each person, those that priors and surrogates asked for too.
    """

    attack: str
    role: Role | str
    judges: tuple[str, ...]
    accepted: Mapping[str, Mapping[str, float]]
    share: Estimate
    queries: float

    @property
    def people(self) -> int:
        """How many were attacked."""
        return len(self.accepted)

    @property
    def needed(self) -> int:
        """So many recognisers are most of them."""
        return len(self.judges) // 2 + 1

    @property
    def pictures(self) -> float:
        """Made of each person, on average over people."""
        return self.share.samples / self.people if self.people else 0.0

    def judged(self, person: str, rule: Rule = most) -> int:
        """How many recognisers take the pictures of a person for that person."""
        return sum(map(rule, self.accepted[person].values()))

    def count(self, needed: int, rule: Rule = most) -> int:
        """How many people so many recognisers or more take for themselves."""
        return sum(self.judged(person, rule) >= needed for person in self.accepted)

    @cached_property
    def recovered(self) -> frozenset[str]:
        """By most pictures and most recognisers."""
        return frozenset(person for person in self.accepted if self.judged(person) >= self.needed)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """95 % interval of the share of people recovered, over people."""
        hits = [float(person in self.recovered) for person in self.accepted]
        return interval(hits, range(len(hits)), bounds=(0.0, 1.0))


def recovery(board: Board, defense: str, attack: str) -> Recovery | None:
    """What an attack makes of a defended model; None unless every fit recogniser has a number.

    Args:
        board: The setup.
        defense: Of the model.
        attack: An attack or a control.
    """
    found = board.headline
    cell = found.cells.get((defense, attack)) if found and found.column.leads and board.fit else None
    if cell is None or cell.estimate is None:
        return None
    columns = {c.judge: c for c in board.matrices if c.leads and c.judge in board.fit}
    by_judge = {judge: _accepted(board, defense, attack, column) for judge, column in columns.items() if judge}
    shared = [p for p in next(iter(by_judge.values())) if all(p in own for own in by_judge.values())]
    accepted = {p: {judge: own[p] for judge, own in by_judge.items()} for p in shared}
    role = board.setup.roles.get(attack, "")
    return Recovery(
        attack, role, tuple(by_judge), accepted, cell.estimate, _queries(board, defense, attack, len(accepted))
    )


def _accepted(board: Board, defense: str, attack: str, column: Column) -> Mapping[str, float]:
    """Mean over seeds; a person who was attacked with some seeds only has the mean over those."""
    done = [m for m in board.setup.measured[defense, attack] if m.row.status == "done"]
    found = [(m.row.seed, figure) for m in done if (figure := m.figures.get(column.name)) and scored(figure)]
    return averaged([estimate(figure, seed) for seed, figure in found], column).per_identity


def _queries(board: Board, defense: str, attack: str, people: int) -> float:
    rows = [m.row for m in board.setup.measured[defense, attack] if m.row.status == "done"]
    return fmean(sum(spent(row, "queries").values()) for row in rows) / max(people, 1)
