"""The points of a family's curve: what each strength costs and leaks, averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from unveil.harness.figures.rows import Row
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, estimate, pool, scored
from unveil.leaderboard.figures import BASELINE

Utilities = dict[tuple[str, tuple[int, ...]], Estimate]
"""By defense and seeds: a target's utility is the same under every attack and whoever judges."""


@dataclass(frozen=True)
class Strength:
    """A point of a curve: one strength of a defense under one attack, averaged over seeds.

    Attributes:
        defense: Name of the row.
        label: The strength, such as ``beta=0.03``; the defense's name where there is no other.
        utility: Of the target.
        leak: What the attack got out of it.
    """

    defense: str
    label: str
    utility: Estimate
    leak: Estimate


@dataclass(frozen=True)
class Family:
    """A defense with all its strengths.

    Attributes:
        name: Of the family.
        points: Its strengths, without strength zero, in the order of the rows.
        missing: Strengths that have no point, and why.
    """

    name: str
    points: tuple[Strength, ...]
    missing: tuple[str, ...] = ()


def points_of(
    rows: Sequence[Row], leak: Column, utility: Column, known: Utilities
) -> tuple[Strength | None, tuple[Family, ...]]:
    """The undefended target, if it was scored, and the families, from the rows of one attack.

    Args:
        rows: Of one data set, model and attack.
        leak: Figure for leakage.
        utility: Figure for utility.
        known: Utilities that are known already; what is computed here is added.
    """
    none: Strength | None = None
    families: dict[str, tuple[tuple[Strength, ...], tuple[str, ...]]] = {}
    for defense in dict.fromkeys(row.defense for row in rows):
        mine = [row for row in rows if row.defense == defense]
        family = mine[0].family or defense
        point, why = _point(mine, leak, utility, known)
        if defense == BASELINE:
            none = point
            continue
        points, missing = families.get(family, ((), ()))
        families[family] = ((*points, point), missing) if point else (points, (*missing, f"{defense}: {why}"))
    return none, tuple(Family(name, *parts) for name, parts in families.items())


def _point(rows: Sequence[Row], leak: Column, utility: Column, known: Utilities) -> tuple[Strength | None, str]:
    """From the seeds that have both figures, so that utility and leakage are of the same targets."""
    pairs = [
        (row.seed, mine[leak.name], mine[utility.name])
        for row in rows
        if row.status == "done" and {leak.name, utility.name} <= (mine := {f.name: f for f in row.figures}).keys()
    ]
    pairs = [pair for pair in pairs if all(map(scored, pair[1:]))]
    if not pairs:
        reasons = [row.error for row in rows if row.error]
        reasons += [f.reason for row in rows for f in row.figures if f.name in (leak.name, utility.name) and f.reason]
        return None, reasons[0].split("\n")[0] if reasons else "no seed has both leakage and utility"
    first = rows[0]
    target = first.defense, tuple(seed for seed, _, _ in pairs)
    if target not in known:
        known[target] = averaged([estimate(useful, seed) for seed, _, useful in pairs], utility)
    leaks = averaged([estimate(leaked, seed) for seed, leaked, _ in pairs], leak)
    return Strength(first.defense, str(first.strength or first.defense), known[target], leaks), ""


def averaged(seeds: Sequence[Estimate], column: Column) -> Estimate:
    """Mean over seeds; a person who was attacked with some seeds only has the mean over those."""
    people = dict.fromkeys(name for seed in seeds for name in seed.per_identity)
    own = {name: fmean(s.per_identity[name] for s in seeds if name in s.per_identity) for name in people}
    known = all(seed.per_identity for seed in seeds)
    return replace(pool(seeds, column.limits, seeds=len(seeds)), per_identity=own if known else {})
