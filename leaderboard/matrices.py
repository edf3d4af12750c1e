"""One figure for every defense and attack, with means and ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unveil.harness.words.names import Role
from unveil.leaderboard import counts
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, pool
from unveil.leaderboard.figures import Cell, Setup
from unveil.leaderboard.paired import ranks
from unveil.leaderboard.worth import Worth


@dataclass(frozen=True)
class Matrix:
    """One figure for every defense and attack.

    Attributes:
        column: The figure.
        cells: By (defense, attack), the controls' included.
        ranks: By (defense, attack), possible ranks among the defenses that are not useless.
        compared: Defenses with at least one number.
        common: Attacks with a number for every compared defense: what the means are over.
        means: Mean over the common attacks, by defense.
        mean_ranks: Possible ranks of these means.
        pictures: Fewest and most pictures per seed, by attack.
        floor: What pure luck reaches, averaged over defenses.
    """

    column: Column
    cells: Mapping[tuple[str, str], Cell]
    ranks: Mapping[tuple[str, str], tuple[int, int]]
    compared: tuple[str, ...]
    common: tuple[str, ...]
    means: Mapping[str, Estimate]
    mean_ranks: Mapping[str, tuple[int, int]]
    pictures: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    floor: Estimate | None = None

    @property
    def unequal(self) -> str:
        """Numbers of pictures by attack, where they differ and numbers of unequal ones do not compare; else empty."""
        return counts.sentence(self.pictures, self.column.counted)

    @property
    def not_scored(self) -> tuple[str, ...]:
        """Why cells that ran have no number, each reason once."""
        return tuple(dict.fromkeys(r for c in self.cells.values() if c.state == "unscored" for r in c.reasons))

    @property
    def span(self) -> tuple[float, float]:
        """What the colours and bars run over: the possible range of a share, else the range that occurs."""
        if self.column.is_share:
            return 0.0, 1.0
        ends = [end for cell in self.cells.values() if cell.estimate for end in cell.estimate.ends]
        return (min(ends), max(ends)) if ends else (0.0, 1.0)


def matrix(setup: Setup, column: Column, worth: Mapping[str, Worth]) -> Matrix:
    """One figure of the rows for every defense and attack of a setup.

    Args:
        setup: The rows.
        column: The figure.
        worth: Of the setup's targets.
    """
    attacks = setup.attacks + setup.controls
    return filled(setup, column, {(d, a): setup.cell(column, d, a) for d in setup.defenses for a in attacks}, worth)


def filled(setup: Setup, column: Column, cells: Mapping[tuple[str, str], Cell], worth: Mapping[str, Worth]) -> Matrix:
    """A matrix of given cells, with its means and ranks.

    Where only equal numbers of pictures compare, an attack that has others on one defense than on another is neither
    ranked nor averaged. A target that is no better than guessing has numbers and a mean, but no rank.

    Args:
        setup: Its defenses and attacks.
        column: The figure.
        cells: By (defense, attack), the controls' included.
        worth: Of the setup's targets.
    """
    numbers = {k: c.estimate for k, c in cells.items() if c.estimate}
    pictures = counts.pictures(numbers)
    refused = counts.unequal(pictures, setup.attacks) if column.counted else ()
    fair = tuple(a for a in setup.attacks if a not in refused)
    useless = {d for d, mine in worth.items() if mine.useless}
    ranked: dict[tuple[str, str], tuple[int, int]] = {}
    for a in fair:
        of = ranks({d: e for (d, b), e in numbers.items() if b == a and d not in useless}, column.direction)
        ranked |= {(d, a): rank for d, rank in of.items()}
    compared = tuple(d for d in setup.defenses if any((d, a) in numbers for a in setup.attacks))
    common = tuple(a for a in fair if compared and all((d, a) in numbers for d in compared))
    means = {d: mean(numbers, d, common, column) for d in compared} if common else {}
    mean_ranks = ranks({d: e for d, e in means.items() if d not in useless}, column.direction)
    return Matrix(column, cells, ranked, compared, common, means, mean_ranks, pictures, _floor(setup, numbers, column))


def mean(numbers: Mapping[tuple[str, str], Estimate], defense: str, attacks: Sequence[str], column: Column) -> Estimate:
    """Mean over attacks on one defense; every attack weighs the same."""
    parts = [numbers[defense, a] for a in attacks]
    return pool(parts, column.limits, seeds=min(p.seeds for p in parts))


def _floor(setup: Setup, numbers: Mapping[tuple[str, str], Estimate], column: Column) -> Estimate | None:
    parts = [numbers[d, a] for d in setup.defenses for a in setup.named(Role.FLOOR) if (d, a) in numbers]
    return pool(parts, column.limits, seeds=min(p.seeds for p in parts)) if parts else None
