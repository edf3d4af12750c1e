"""Intervals of what is computed from several means: over people drawn with replacement, and over trainings.

A draw takes the same people for all means; so what they have in common cancels. The statistic (a height of a curve, a
ratio) is computed anew in every draw, and the quantiles are moved outwards as in `unveil.harness.figures.intervals`.

A draw of people does not know how a second training would have come out. Where two seeds or more are known, each mean
is also moved up and down by its standard error. That gives the statistic's slope, the slopes weigh each person's value
of each seed, and to the square of each half of the interval comes that of what seeds alone would give
(`unveil.leaderboard.seeds`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unveil.harness.figures.intervals import draws, expanded
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.polyline import Numbers
from unveil.leaderboard.seeds import crossed

DRAWS = 2000
REACHED = 0.95  # share of draws that must give a number
TAIL = 0.025
SMALL = 1e-6  # step where people do not differ


class Drawn:
    """Several means about the same people, drawn together.

    Where a person's pictures count more than another's, the mean over people is not quite what was reported; the draws
    are then moved by the difference.

    Args:
        parts: The means. There are no draws, and no intervals, unless all know their people, two at least.
        resamples: Of the bootstrap.

    Attributes:
        people: Whose values the intervals rest on; 0 if that is not known.
        means: One for each part, ``(1 + draws + 2 * parts,)``: as measured, over the people of each draw, and with
            every part in turn moved up, then down. A statistic is computed from them row by row.
    """

    def __init__(self, parts: Sequence[Estimate], resamples: int = DRAWS) -> None:
        names = list(dict.fromkeys(name for p in parts for name in p.per_identity))
        known = all(len(p.per_identity) > 1 for p in parts)
        self.people = min(len(p.per_identity) for p in parts) if known else 0
        weights = draws(len(names), resamples) if known else np.empty((0, len(names)))
        self._draws, self._seeds = len(weights), _by_seed(parts, names) if known else np.empty((0, 0, 0))
        drawn = [_over_draws(p, names, weights) for p in parts]
        self._steps = np.array([max(float(np.nanstd(d[1:])), SMALL) if known else 0.0 for d in drawn])
        self.means = [np.concatenate([d, d[0] + self._nudges(i)]) for i, d in enumerate(drawn)]

    def _nudges(self, part: int) -> Numbers:
        """What moves one part's mean ``(2 * parts,)``."""
        moved = np.zeros((len(self._steps), 2))
        moved[part] = self._steps[part], -self._steps[part]
        return moved.flatten()

    def reached(self, values: Numbers) -> float:
        """Share of the draws that give a number; 1 without draws."""
        drawn = self._drawn(values)
        return float(np.isfinite(drawn).mean()) if len(drawn) else 1.0

    def interval(self, values: Numbers, limits: tuple[float, float]) -> Estimate:
        """A statistic with its 95 % interval.

        Args:
            values: As ``means``, NaN where there is none; the first is finite.
            limits: Smallest and largest possible value.
        """
        value, drawn = float(values[0]), self._drawn(values)
        drawn = drawn[np.isfinite(drawn)]
        if not len(drawn):
            return Estimate(value)
        tail = expanded(self.people)
        low, high = (float(end) for end in np.quantile(drawn, (tail, 1 - tail)))
        low, high = self._wider(values, min(low, value), max(high, value))
        return Estimate(value, max(low, limits[0]), min(high, limits[1]), identities=self.people)

    def _drawn(self, values: Numbers) -> Numbers:
        return values[1 : 1 + self._draws]

    def _wider(self, values: Numbers, low: float, high: float) -> tuple[float, float]:
        """The interval over people, made to hold for other trainings, too."""
        if len(self._seeds) < 2:
            return low, high
        value = float(values[0])
        more = crossed((self._seeds @ self.slopes(values)).tolist()).half_of_seeds(TAIL)
        return value - math.hypot(value - low, more), value + math.hypot(high - value, more)

    def slopes(self, values: Numbers) -> Numbers:
        """How far a statistic moves with each part ``(parts,)``: to both sides, or to the one where it has a number."""
        up, down = values[1 + self._draws :].reshape(-1, 2).T
        up, down = (np.where(np.isfinite(side), side, values[0]) for side in (up, down))
        sides = np.isfinite(values[1 + self._draws :]).reshape(-1, 2).sum(1) * self._steps
        slopes: Numbers = np.divide(up - down, sides, out=np.zeros(len(sides)), where=sides > 0)
        return slopes


def _by_seed(parts: Sequence[Estimate], names: Sequence[str]) -> Numbers:
    """Values ``(seeds, people, parts)`` of the seeds that all parts know; a part that knows none is alike in all.

    No seeds where some attacked other people than others.
    """
    known = [set(p.by_seed) for p in parts if p.by_seed]
    seeds = sorted(set.intersection(*known)) if known else []
    tables = [[p.by_seed[s] if p.by_seed else p.per_identity for p in parts] for s in seeds]
    if any(table.keys() != set(names) for row in tables for table in row):
        return np.empty((0, 0, 0))
    return np.array([[[table[name] for table in row] for name in names] for row in tables])


def _over_draws(found: Estimate, names: Sequence[str], weights: Numbers) -> Numbers:
    """The value as measured, then its mean over the people of each draw ``(1 + draws,)``; NaN for a draw of nobody.

    Args:
        found: With a value per person, unless there are no draws.
        names: Of all people that are drawn from ``(P,)``.
        weights: How often each is drawn, ``(draws, P)``.
    """
    known = np.array([name in found.per_identity for name in names], dtype=np.float64)
    values = np.array([found.per_identity.get(name, 0.0) for name in names])
    count = weights @ known
    means = np.divide(weights @ values, count, out=np.full(len(count), np.nan), where=count > 0)
    shift = found.value - values.sum() / known.sum() if len(weights) else 0.0
    return np.concatenate([[found.value], means + shift])
