"""Defenses at equal utility: the curve of each family's strengths, compared at stated costs and by area.

A family is a defense with all its strengths in a plan. Its curve runs through one point a strength, leakage over
utility, and through the undefended target, which is strength zero of every family. The points in the order of utility
are joined by straight lines, whatever the order of the strengths; points of equal utility become one, at the mean of
their leakage. A curve says nothing beyond its ends.

Intervals are bootstraps over people, widened for seeds (`unveil.leaderboard.resampling`). A draw takes the same people
for all defenses, for utility and for leakage; so what all have in common cancels in a difference. Both coordinates of
every point move in a draw, and everything is computed anew from them: order, interpolation, range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from unveil.harness.figures.rows import Row
from unveil.harness.words.names import Direction
from unveil.leaderboard import polyline
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, over_people
from unveil.leaderboard.figures import BASELINE, Setup
from unveil.leaderboard.polyline import SAME, Numbers
from unveil.leaderboard.resampling import DRAWS, REACHED, Drawn
from unveil.leaderboard.strengths import Family, Strength, Utilities, points_of
from unveil.leaderboard.wording import bare, number

COSTS = (0.01, 0.02, 0.05)  # utility below the undefended target's at which families are compared
AREA = 0.0  # stands for the area beside the costs


@dataclass(frozen=True)
class Answer:
    """A number with its interval, or why there is none.

    Attributes:
        estimate: The number.
        reason: In words, where there is no number.
    """

    estimate: Estimate | None = None
    reason: str = ""

    @property
    def decided(self) -> bool:
        """Whether there is an interval and it leaves out zero."""
        e = self.estimate
        return e is not None and e.low is not None and e.high is not None and (e.low > 0 or e.high < 0)


@dataclass(frozen=True)
class Delta:
    """The published ratio for one strength, and what it is made of.

    Attributes:
        leak: Leakage of the undefended target minus this one's.
        utility: The same of utility.
        ratio: Their quotient; a reason where it is undefined.
        caveat: Why not to rely on it.
    """

    leak: Answer
    utility: Answer
    ratio: Answer
    caveat: str = ""


@dataclass(frozen=True)
class Tradeoff:
    """All families under one attack, by one judge.

    Attributes:
        attack: The attack.
        leak: The figure for leakage.
        utility: The figure for utility.
        none: The undefended target; None if it was not scored.
        families: In the order of the rows.
        matched: Leakage by family and cost, and by family and ``AREA`` the mean leakage over ``shared``.
        below: The undefended target's leakage minus that, for the costs.
        gaps: First family minus second, by both names and cost or ``AREA``.
        shared: Utilities that all families with an area reach.
        deltas: By defense.
        people: Whose values the intervals rest on; 0 if that is not known.
    """

    attack: str
    leak: Column
    utility: Column
    none: Strength | None
    families: tuple[Family, ...]
    matched: Mapping[tuple[str, float], Answer]
    below: Mapping[tuple[str, float], Answer]
    gaps: Mapping[tuple[str, str, float], Answer]
    shared: tuple[float, float] | None
    deltas: Mapping[str, Delta]
    people: int

    @property
    def compares(self) -> bool:
        """Whether any family costs enough for a comparison at equal utility."""
        return any(answer.estimate for answer in self.matched.values())


def tradeoffs(setup: Setup) -> dict[str, tuple[Tradeoff, ...]]:
    """The comparison for each judge, the headline's first, and each attack; empty where there is nothing to compare.

    There is nothing without a defense beside the undefended target, or without a leakage and a utility in percent.
    """
    head, utility = setup.headline, setup.utility
    if not head or not utility or not (head.is_share and utility.is_share) or set(setup.defenses) <= {BASELINE}:
        return {}
    columns = [
        c
        for c in setup.leaking
        if (c.metric, c.column) == (head.metric, head.column) and c.direction == Direction.LEAKS
    ]
    known: Utilities = {}
    return {
        c.judge or "": tuple(tradeoff(setup.rows, a, c, utility, known=known) for a in setup.attacks) for c in columns
    }


def tradeoff(
    rows: Iterable[Row],
    attack: str,
    leak: Column,
    utility: Column,
    resamples: int = DRAWS,
    known: Utilities | None = None,
) -> Tradeoff:
    """Compares the families under one attack.

    Args:
        rows: Of one data set and model.
        attack: The attack.
        leak: Figure for leakage, a share.
        utility: Figure for utility, a share.
        resamples: Of the bootstrap.
        known: What is known of the same targets from other attacks; what is computed here is added.
    """
    known = {} if known is None else known
    none, families = points_of([r for r in rows if r.attack == attack], leak, utility, known)
    if none is None:
        return Tradeoff(attack, leak, utility, None, families, {}, {}, {}, None, {}, 0)
    drawn = _Points([none, *(p for f in families for p in f.points)], resamples)
    curves = {f.name: _Curve(f, none, drawn) for f in families}
    base = drawn.leak[none.defense]
    values = {(f.name, c): curves[f.name].at(c) for f in families for c in COSTS}
    shared, areas = _areas(curves, drawn)
    values |= {(name, AREA): found for name, found in areas.items()}
    matched = {key: _matched(curves[key[0]], key[1], value, drawn) for key, value in values.items()}
    below = {key: drawn.answer(base - v, matched[key].reason) for key, v in values.items() if key[1] != AREA}
    gaps = {
        (a.name, b.name, c): drawn.answer(
            values[a.name, c] - values[b.name, c], matched[a.name, c].reason or matched[b.name, c].reason
        )
        for a, b in combinations(families, 2)
        for c in (*COSTS, AREA)
    }
    deltas = {p.defense: _delta(p, none, drawn) for f in families for p in f.points}
    return Tradeoff(attack, leak, utility, none, families, matched, below, gaps, shared, deltas, drawn.people)


class _Points:
    """Utility and leakage of every point, drawn together: see `unveil.leaderboard.resampling.Drawn`."""

    def __init__(self, points: Sequence[Strength], resamples: int) -> None:
        self._drawn = Drawn([e for p in points for e in (p.utility, p.leak)], resamples)
        self.people = self._drawn.people
        self.utility = {p.defense: mean for p, mean in zip(points, self._drawn.means[::2], strict=True)}
        self.leak = {p.defense: mean for p, mean in zip(points, self._drawn.means[1::2], strict=True)}

    def answer(self, values: Numbers, reason: str = "", limits: tuple[float, float] = (-1, 1)) -> Answer:
        """First value with its interval; without a number for nearly all draws there is none.

        Args:
            values: As the means, NaN where there is none.
            reason: Why there is no number, if that is known already.
            limits: Smallest and largest possible value.
        """
        if reason or not math.isfinite(values[0]):
            return Answer(reason=reason or "not defined")
        if (part := self._drawn.reached(values)) < REACHED:
            told = f"reached in only {math.floor(100 * part)} % of the resamples"
            return Answer(reason=f"too near the end of the curve: {told}")
        return Answer(self._drawn.interval(values, limits))


class _Curve:
    """A family's curve in every draw."""

    def __init__(self, family: Family, none: Strength, drawn: _Points) -> None:
        self.points = (none, *family.points)
        self.top = drawn.utility[none.defense]
        self.x = np.stack([drawn.utility[p.defense] for p in self.points], axis=1)
        self.y = np.stack([drawn.leak[p.defense] for p in self.points], axis=1)
        self.ordered = polyline.ordered(self.x, self.y)
        self.why_not = "" if family.points else f"no strength was scored: {'; '.join(family.missing)}"

    @property
    def most(self) -> float:
        """Largest cost in utility."""
        return float(self.top[0] - self.ordered[0][0, 0])

    def at(self, cost: float) -> Numbers:
        """Leakage where utility is that much below the undefended target's."""
        return self.y[:, 0] * np.nan if self.why_not else polyline.at(*self.ordered, self.top - cost)

    def unreached(self, cost: float) -> str:
        """Why there is no leakage at that cost; empty if there is."""
        if self.why_not or self.most >= cost - SAME:
            return self.why_not
        costs = (
            f"costs {bare(self.most, 'share', precise=True)} points at most" if self.most > SAME else "costs nothing"
        )
        return f"not reached: it {costs}"

    def mixed(self, cost: float) -> tuple[float | None, float | None]:
        """Interval of leakage interpolated person by person; none if the points know different people."""
        place = self.top[:1] - cost
        parts = [polyline.at(*polyline.ordered(self.x[:1], row[None]), place)[0] for row in np.eye(len(self.points))]
        used = [(part, p.leak) for part, p in zip(parts, self.points, strict=True) if part > 0]
        if any(set(leak.per_identity) != set(used[0][1].per_identity) for _, leak in used):
            return None, None
        seeds = set.intersection(*(set(leak.by_seed) for _, leak in used))
        by_seed = {s: _mix([(part, leak.by_seed[s]) for part, leak in used]) for s in sorted(seeds)}
        return over_people(_mix([(part, leak.per_identity) for part, leak in used]), (0, 1), by_seed)


def _mix(parts: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    return {name: sum(part * people[name] for part, people in parts) for name in parts[0][1]}


def _matched(curve: _Curve, cost: float, values: Numbers, drawn: _Points) -> Answer:
    """Leakage with its interval, which is no narrower than that of the same mix of points were it fixed."""
    if cost == AREA:
        return drawn.answer(values, curve.why_not or curve.unreached(COSTS[0]), (0, 1))
    found = drawn.answer(values, curve.unreached(cost), (0, 1))
    if found.estimate is None or found.estimate.low is None or found.estimate.high is None:
        return found
    low, high = curve.mixed(cost)
    if low is None or high is None:
        return found
    return Answer(replace(found.estimate, low=min(low, found.estimate.low), high=max(high, found.estimate.high)))


def _areas(curves: Mapping[str, _Curve], drawn: _Points) -> tuple[tuple[float, float] | None, dict[str, Numbers]]:
    """Mean leakage over the utilities that all reach who reach the lowest cost; each draw has its own range."""
    good = {name: c for name, c in curves.items() if not c.unreached(COSTS[0])}
    nothing = np.full(len(next(iter(drawn.leak.values()))), np.nan)
    if not good:
        return None, dict.fromkeys(curves, nothing)
    low = np.max([c.ordered[0][:, 0] for c in good.values()], axis=0)
    high = np.min([c.ordered[0][:, -1] for c in good.values()], axis=0)
    areas = {n: polyline.mean(*c.ordered, low, high) if n in good else nothing for n, c in curves.items()}
    return (float(low[0]), float(high[0])), areas


def _delta(point: Strength, none: Strength, drawn: _Points) -> Delta:
    """Delta = (leak of none - leak) / (utility of none - utility), RoLSS project page."""
    leak = drawn.leak[none.defense] - drawn.leak[point.defense]
    cost = drawn.utility[none.defense] - drawn.utility[point.defense]
    dropped = drawn.answer(cost)
    if cost[0] <= SAME:
        return Delta(drawn.answer(leak), dropped, Answer(reason="undefined: utility does not drop"))
    ratio = np.divide(leak, cost, out=np.full(len(cost), np.nan), where=cost > SAME)
    if dropped.estimate is not None and dropped.estimate.low is not None and not dropped.decided:
        caveat = "unstable: the drop in utility cannot be told from none"
        return Delta(drawn.answer(leak), dropped, Answer(Estimate(float(ratio[0]))), caveat)
    return Delta(drawn.answer(leak), dropped, drawn.answer(ratio, limits=(-math.inf, math.inf)))


def comparison(gap: Answer, first: str, second: str) -> str:
    """A difference between two families, or from no defense, in words."""
    if gap.estimate is None:
        return gap.reason
    if not gap.decided:
        return "cannot be told apart"
    less, points = (second, gap.estimate.value) if gap.estimate.value > 0 else (first, -gap.estimate.value)
    return f"{less} leaks {bare(points, 'share', precise=True)} points less"


def span_of(found: Tradeoff) -> str:
    """The utilities that areas are taken over."""
    return "" if found.shared is None else " to ".join(number(end, "share", precise=True) for end in found.shared)
