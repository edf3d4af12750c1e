"""What the figures of a setup come to: computed once, and handed to the verdict, the scales and the drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unveil.harness.figures.rows import Judge
from unveil.leaderboard.columns import Column
from unveil.leaderboard.figures import Cell, Setup, utility
from unveil.leaderboard.fitness import fit_judges, headline_first
from unveil.leaderboard.matrices import Matrix, matrix
from unveil.leaderboard.scale import Fault, faults
from unveil.leaderboard.worth import Worth, worths


@dataclass(frozen=True)
class Board:
    """A setup with everything that more than one part of a page needs.

    Attributes:
        setup: The rows.
        judges: Evaluators of the results, those of other data sets too.
        useful: Usefulness of the targets, by figure and defense.
        worths: What each defended target is still good for.
        matrices: By figure about attacks, the headline first: the mean over the judges that are fit.
        faults: What the controls say against the judges.
        fit: Names of the judges that are fit.
    """

    setup: Setup
    judges: tuple[Judge, ...]
    useful: Mapping[Column, Mapping[str, Cell]]
    worths: Mapping[str, Worth]
    matrices: Mapping[Column, Matrix]
    faults: tuple[Fault, ...]
    fit: frozenset[str]

    @property
    def headline(self) -> Matrix | None:
        """The matrix that leads; None if nothing about an attack was recorded."""
        return next(iter(self.matrices.values()), None)

    @property
    def first(self) -> Matrix | None:
        """The first judge's own headline, where another matrix leads."""
        column = self.setup.headline
        return self.matrices[column] if column and column.leads and self.headline != self.matrices[column] else None

    @property
    def utility(self) -> Mapping[str, Cell]:
        """By the first figure about usefulness; empty without one."""
        return next(iter(self.useful.values()), {})


def board(setup: Setup, judges: Sequence[Judge]) -> Board:
    """Computes everything.

    Args:
        setup: The rows.
        judges: Evaluators; those of this data set may spoil the verdict.
    """
    useful = {column: utility(setup, column) for column in setup.useful}
    worth = worths(setup, next(iter(useful.values()), {}))
    matrices = {column: matrix(setup, column, worth) for column in setup.leaking}
    said = faults(setup, tuple(matrices.values()), judges)
    fit = fit_judges(setup.data, judges, said)
    return Board(setup, tuple(judges), useful, worth, headline_first(setup, matrices, fit, worth), said, fit)
