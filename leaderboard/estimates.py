"""A number with its interval: pooling over seeds and attacks, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from unveil.harness.figures.intervals import interval
from unveil.harness.figures.rows import Figure
from unveil.harness.words.names import Direction
from unveil.leaderboard.seeds import crossed


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval over people, and what it rests on.

    Attributes:
        value: The number, in its metric's unit.
        low: Lower end of the interval; None if there is no interval.
        high: Upper end.
        seeds: How many seeds were averaged.
        samples: Pictures that went in, over all seeds.
        identities: People that went in.
        per_identity: Mean per person; empty for a statistic of the whole set.
        by_seed: Mean per person of each seed, by seed and person; empty where the people are not known.
    """

    value: float
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    samples: int = 0
    identities: int = 0
    per_identity: Mapping[str, float] = field(default_factory=dict)
    by_seed: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[float, float]:
        """The interval; the value itself, twice, where there is none."""
        return (self.value if self.low is None else self.low), (self.value if self.high is None else self.high)

    def apart(self, other: Estimate) -> bool:
        """Whether both have an interval and these share no point; anything else is a tie."""
        if None in (self.low, self.high, other.low, other.high):
            return False
        (a, b), (c, d) = self.ends, other.ends
        return b < c or d < a


def scored(figure: Figure) -> bool:
    """Whether a figure carries a number; NaN is not one."""
    return figure.value is not None and math.isfinite(figure.value)


def estimate(figure: Figure, seed: int | None = None) -> Estimate:
    """One scored figure of one seed; without the seed's number no interval can tell what a second training changes."""
    value = figure.value
    if value is None:
        raise ValueError(f"{figure.name} is not scored")
    ends = (figure.low, figure.high)
    known = all(end is not None and math.isfinite(end) for end in ends)
    low, high = ends if known else (None, None)
    people = {k: v for k, v in figure.per_identity.items() if math.isfinite(v)}
    by_seed = {} if seed is None or not people else {seed: people}
    return Estimate(value, low, high, 1, figure.samples, figure.identities or len(people), people, by_seed)


def pool(parts: Sequence[Estimate], limits: tuple[float, float], *, seeds: int) -> Estimate:
    """Mean of several estimates about the same people (seeds of a cell, or attacks on a defense).

    The interval comes from each person's mean over the parts, over people and, where two seeds or more are known,
    over seeds. Where the parts do not know their people, the ends are averaged: exact if the parts err together, too
    wide if they do not.

    Args:
        parts: At least one.
        limits: Smallest and largest possible value.
        seeds: Seeds to report.
    """
    if len(parts) == 1:
        return parts[0]
    people = _shared_people(parts)
    by_seed = _seeds(parts, people)
    if people:
        low, high = over_people(people, limits, by_seed)
    else:
        low, high = _mean([p.low for p in parts]), _mean([p.high for p in parts])
    value = fmean(p.value for p in parts)
    identities = len(people) or max(p.identities for p in parts)
    return Estimate(value, low, high, seeds, sum(p.samples for p in parts), identities, people, by_seed)


def difference(a: Estimate, b: Estimate) -> Estimate | None:
    """``a - b``, paired person by person and seed by seed; None unless both know the same people."""
    people = _shared_people([a, b])
    if not people:
        return None
    gaps = {k: a.per_identity[k] - b.per_identity[k] for k in people}
    by_seed = {
        s: {k: a.by_seed[s][k] - b.by_seed[s][k] for k in gaps} for s in a.by_seed if s in b.by_seed
    }  # fmt: skip
    low, high = over_people(gaps, (-math.inf, math.inf), by_seed)
    return Estimate(a.value - b.value, low, high, min(a.seeds, b.seeds), 0, len(gaps), gaps, by_seed)


def over_people(
    people: Mapping[str, float], limits: tuple[float, float], by_seed: Mapping[int, Mapping[str, float]] | None = None
) -> tuple[float | None, float | None]:
    """95 % interval of a mean with one value a person, as the harness computes it; none for a single person.

    Args:
        people: Mean per person.
        limits: Smallest and largest possible value.
        by_seed: The same people's means of each seed; two or more let the interval hold for other trainings too.
    """
    values, seeds = list(people.values()), [[own[k] for k in people] for own in (by_seed or {}).values()]
    wider = crossed(seeds).stretch() if len(seeds) > 1 and len(values) > 1 else 1.0
    ends = interval(values, range(len(values)), bounds=limits, stretch=wider)
    low, high = max(ends[0], limits[0]), min(ends[1], limits[1])
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def better(a: Estimate, b: Estimate, direction: str) -> bool:
    """Whether ``a`` is surely better (leaks less, or is more useful) than ``b``."""
    return a.apart(b) and (a.value < b.value if direction == Direction.LEAKS else a.value > b.value)


def _shared_people(parts: Sequence[Estimate]) -> dict[str, float]:
    names = set(parts[0].per_identity)
    if any(set(p.per_identity) != names for p in parts):
        return {}
    return {k: fmean(p.per_identity[k] for p in parts) for k in parts[0].per_identity}


def _seeds(parts: Sequence[Estimate], people: Mapping[str, float]) -> dict[int, dict[str, float]]:
    """Each seed's mean per person: of parts that are seeds of one thing, or over parts that share their seeds.

    Empty where the parts know different people.
    """
    if not people:
        return {}
    known = [set(p.by_seed) for p in parts]
    together = set().union(*known)
    if sum(map(len, known)) > len(together):
        together = set.intersection(*known)
    return {
        s: {k: fmean(p.by_seed[s][k] for p in parts if s in p.by_seed) for k in people} for s in sorted(together)
    }  # fmt: skip


def _mean(ends: Sequence[float | None]) -> float | None:
    known = [end for end in ends if end is not None]
    return fmean(known) if len(known) == len(ends) else None
