"""The rows of the study as measures: what was asked beforehand, and what is looked at beside it."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.words.names import HEADLINE, MEAN_OF_JUDGES, PANEL, Direction, Quantity
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, difference, over_people
from unveil.leaderboard.figures import Setup, setups
from unveil.leaderboard.paired import FLIPS, ROOM, clear, holm, p_value

ATTACK = "ppa"
UTILITY = "utility/top-1"
OPEN = f"{PANEL}/{MEAN_OF_JUDGES}"
CLOSED = f"{PANEL}/closed-set {MEAN_OF_JUDGES}"
MEASURES = {"open set": OPEN, "closed set": CLOSED}
JUDGES = ("fr_feature", "faceres", "arcface")


def by_judge(judge: str, *, closed: bool) -> str:
    """Name of one judge's figure."""
    return f"{HEADLINE[0]}/{'closed-set ' if closed else ''}{HEADLINE[1]}@{judge}"


@dataclass(frozen=True)
class Target:
    """A target with all its defenses.

    Attributes:
        setup: Its rows.
        columns: Its figures, by name.
    """

    setup: Setup
    columns: Mapping[str, Column]

    @property
    def name(self) -> str:
        """As in the plan."""
        return self.setup.model

    @property
    def defenses(self) -> list[str]:
        """Those that were scored, without the undefended target."""
        return [
            d for d in self.setup.defenses if d != "none" and self.setup.cell(self.columns[OPEN], d, ATTACK).estimate
        ]

    def of(self, defense: str, measure: str, attack: str = ATTACK) -> Estimate:
        """What was measured, over all seeds."""
        found = self.setup.cell(self.columns[measure], defense, attack)
        if found.estimate is None:
            raise LookupError(f"{self.name} with {defense} has no {measure} under {attack}: {found.reasons}")
        return found.estimate


@dataclass(frozen=True)
class Test:
    """A paired difference with its p-values.

    Attributes:
        gap: First minus second.
        raw: P-value of this comparison alone.
        p: Corrected for all comparisons of its question.
    """

    gap: Estimate
    raw: float
    p: float

    @property
    def clear(self) -> bool:
        """Whether it is settled."""
        return clear(self.gap, self.p)


def read(files: Sequence[Path]) -> tuple[Target, ...]:
    """Targets from files of rows (``rows.json``, or the same packed by xz)."""
    rows: list[Row] = []
    for file in files:
        raw = file.read_bytes()
        plain = json.loads(lzma.decompress(raw) if file.suffix == ".xz" else raw)
        rows += [_with_closed_mean(Row.model_validate(one)) for one in plain]
    found = setups(Results(title="", plan="", rows=tuple(rows)))
    return tuple(Target(setup, {c.name: c for c in setup.columns}) for setup in found)


def tests(pairs: Mapping[str, tuple[Estimate, Estimate]]) -> dict[str, Test]:
    """All comparisons of one question by one measure, with Holm's correction over them."""
    gaps = {name: gap for name, (a, b) in pairs.items() if (gap := difference(a, b))}
    flips = max(FLIPS, ROOM * len(gaps) - 1)
    raw = [p_value(gap, flips) for gap in gaps.values()]
    return {n: Test(gaps[n], one, p) for n, one, p in zip(gaps, raw, holm(raw), strict=True)}


def percent(value: float) -> str:
    """In percent, one digit; no minus before zero."""
    return f"{100 * value + 0.0:.1f}".replace("-0.0", "0.0")


def full(found: Estimate) -> str:
    """Value and interval."""
    low, high = found.ends
    return f"{percent(found.value)} [{percent(low)}, {percent(high)}]"


def p_values(test: Test) -> str:
    """Of one comparison, and corrected."""
    corrected = "<0.001" if test.p < 0.001 else f"{test.p:.3f}"
    return f"{test.raw:.4f} / {corrected}" + (" *" if test.clear else "")


def told(test: Test) -> list[str]:
    """A difference as two cells."""
    return [full(test.gap), p_values(test)]


def _with_closed_mean(row: Row) -> Row:
    """With the mean of the judges' closed-set answers, which the harness has for open-set answers only."""
    known = {f.name: f for f in row.figures}
    parts = [f for judge in JUDGES if (f := known.get(by_judge(judge, closed=True)))]
    if len(parts) < len(JUDGES):
        return row
    people = {k: fmean(f.per_identity[k] for f in parts) for k in parts[0].per_identity}
    low, high = over_people(people, (0.0, 1.0))
    mean = Figure(
        **dict(Quantity(quantity=MEAN_OF_JUDGES, closed=True)), metric=PANEL, unit="share", direction=Direction.LEAKS,
        range=(0.0, 1.0), value=fmean(f.value or 0.0 for f in parts), low=low, high=high, samples=parts[0].samples,
        identities=len(people), per_identity=people,
    )  # fmt: skip
    return row.model_copy(update={"figures": (*row.figures, mean)})
