"""How often the harness' intervals hold a known truth, and how often its tests err: those in docs/studies/intervals.

Run ``python benchmarks/coverage.py [repetitions]`` (default 1000; a few minutes). It calls what the harness calls.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from unveil.harness.figures.intervals import interval
from unveil.harness.figures.rows import Figure, Row
from unveil.harness.words.names import Direction, Quantity
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, difference, over_people, pool
from unveil.leaderboard.paired import clear, detectable, holm, p_value, ranks
from unveil.leaderboard.resampling import Drawn
from unveil.leaderboard.tradeoff import tradeoff

Array = NDArray[np.float64]
SHARES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.8, 0.98)
PEOPLE = (20, 40, 60, 158)
UNEVEN = (0.2, 0.5, 1.0, 1.5, 2.5)


def share_cells() -> Iterator[tuple[int, int, float, bool, float]]:
    """People, pictures each, correlation within a person, whether counts differ, true share."""
    for n in PEOPLE:
        for each in (1, 3, 5, 20):
            for alike in (0.0, 0.3, 0.7, 0.95) if each > 1 else (0.0,):
                for uneven in (False, True) if each > 3 else (False,):
                    yield from ((n, each, alike, uneven, share) for share in SHARES)


def share_coverage(
    rng: np.random.Generator, n: int, each: int, alike: float, uneven: bool, share: float, times: int
) -> float:
    """Part of the repetitions whose interval holds the share."""
    counts = np.maximum(1, (each * np.resize(UNEVEN, n)).astype(int)) if uneven else np.full(n, each)
    strength = 1 / alike - 1 if alike else 0.0
    own = rng.beta(share * strength, (1 - share) * strength, (times, n)) if alike else np.full((times, n), share)
    who = np.repeat(np.arange(n), counts)
    drawn = rng.random((times, len(who))) < own[:, who]
    ends = np.array([interval(v, who, bounds=(0, 1)) for v in drawn])
    return float(((ends[:, 0] <= share) & (share <= ends[:, 1])).mean())


def mean_coverage(values: Array, truth: float) -> float:
    """The same for means without a known range; ``values`` is ``(times, people)``."""
    ends = np.array([interval(v, np.arange(len(v))) for v in values])
    return float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())


def trained(values: Array, limits: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """A cell of one or more seeds ``(seeds, people)``."""
    parts = []
    for seed, row in enumerate(values):
        people = {str(i): float(v) for i, v in enumerate(row)}
        low, high = over_people(people, limits)
        parts.append(Estimate(float(row.mean()), low, high, 1, len(row), len(row), people, {seed: people}))
    return pool(parts, limits, seeds=len(parts))


def hits(rng: np.random.Generator, ease: Array, shift: float, seeds: int, between: float, each: int = 5) -> Array:
    """Shares of hits ``(seeds, people)``; every training moves all people's log-odds by its own amount.

    Args:
        rng: Source.
        ease: Log-odds of each person ``(people,)``.
        shift: What the defense adds.
        seeds: Trainings.
        between: Standard deviation between trainings, log-odds.
        each: Pictures a person.
    """
    moved = ease + shift + between * rng.standard_normal((seeds, 1)) + 0.5 * rng.standard_normal((seeds, len(ease)))
    return rng.binomial(each, expit(moved)) / each


def seed_coverage(rng: np.random.Generator, n: int, seeds: int, between: float, times: int) -> float:
    """Coverage of a pooled share, against the mean over all people and trainings."""
    many = rng.standard_normal((3, 400_000))
    truth = float(expit(many[0] + between * many[1] + 0.5 * many[2]).mean())
    found = [trained(hits(rng, rng.standard_normal(n), 0.0, seeds, between)) for _ in range(times)]
    return float(np.mean([e.ends[0] <= truth <= e.ends[1] for e in found]))


def way_coverage(rng: np.random.Generator, n: int, seeds: int, between: float, times: int) -> float:
    """Coverage of (attack - floor) / (ceiling - floor), all three of the same people and trainings."""
    shifts = (0.0, -4.0, 3.0)  # attack, luck, real pictures
    many = rng.standard_normal((3, 400_000))
    x, low, high = (float(expit(many[0] + s + between * many[1] + 0.5 * many[2]).mean()) for s in shifts)
    truth, held = (x - low) / (high - low), 0
    for _ in range(times):
        ease = rng.standard_normal(n)
        drawn = Drawn([trained(hits(rng, ease, s, seeds, between)) for s in shifts])
        a, b, c = drawn.means
        ends = drawn.interval((a - b) / (c - b), (-np.inf, np.inf)).ends
        held += ends[0] <= truth <= ends[1]
    return held / times


def false_gaps(rng: np.random.Generator, n: int, seeds: int, between: float, times: int) -> float:
    """Part of the repetitions in which two families of one true curve are told apart at 2 points of utility."""
    spots = {"none": (0.92, 0.0), "a": (0.87, -0.6), "b": (0.87, -0.6)}
    leak = Column("attack_accuracy", Quantity(quantity="top-1"), "judge", "share", Direction.LEAKS, (0, 1))
    known = Column("utility", Quantity(quantity="top-1"), None, "share", Direction.USEFUL, (0, 1))
    wrong = scored = 0
    for _ in range(times):
        ease, rows = rng.standard_normal(n), []
        for name, (useful, shift) in spots.items():
            both = (hits(rng, 0 * ease + logit(useful), 0, seeds, between, 10), hits(rng, ease, shift, seeds, between))
            for seed, values in enumerate(zip(*both, strict=True)):
                figures = tuple(_figure(c, v) for c, v in zip((known, leak), values, strict=True))
                row = Row(data="d", model="m", defense=name, attack="gmi", seed=seed, status="done", figures=figures)
                rows.append(row)
        gap = tradeoff(rows, "gmi", leak, known).gaps["a", "b", 0.02]
        scored += gap.estimate is not None
        wrong += gap.decided
    return wrong / max(scored, 1)


def _figure(column: Column, people: Array) -> Figure:
    c, known = column, {str(i): float(v) for i, v in enumerate(people)}
    return Figure(
        **dict(c.about), metric=c.metric, judge=c.judge, unit=c.unit, direction=c.direction, range=c.limits,
        value=float(people.mean()), per_identity=known,
    )  # fmt: skip


def false_claims(
    rng: np.random.Generator, n: int, seeds: int, between: float, times: int, share: float = 0.5, others: int = 1
) -> float:
    """Part of the repetitions with any claim about defenses that change nothing."""
    wrong = 0
    for _ in range(times):
        ease = logit(share) + rng.standard_normal(n)
        base, *rest = (trained(hits(rng, ease, 0.0, seeds, between)) for _ in range(1 + others))
        gaps = [gap for d in rest if (gap := difference(d, base))]
        wrong += any(clear(g, p) for g, p in zip(gaps, holm([p_value(g) for g in gaps]), strict=True))
    return wrong / times


def false_ranks(rng: np.random.Generator, n: int, seeds: int, between: float, times: int, names: int = 5) -> float:
    """Part of the repetitions in which any of equal defenses does not share its rank with all others."""
    wrong = 0
    for _ in range(times):
        ease = rng.standard_normal(n)
        found = {str(i): trained(hits(rng, ease, 0.0, seeds, between)) for i in range(names)}
        wrong += any(rank != (1, names) for rank in ranks(found, Direction.LEAKS).values())
    return wrong / times


def power(rng: np.random.Generator, n: int, seeds: int, between: float, times: int) -> float:
    """How often a true difference of the typical detectable size is found; normal differences, spread 0.3."""

    def gap(true: float) -> Estimate:
        drawn = true + between * rng.standard_normal((seeds, 1)) + 0.3 * rng.standard_normal((seeds, n))
        found = difference(trained(drawn, (-np.inf, np.inf)), trained(np.zeros((seeds, n)), (-np.inf, np.inf)))
        assert found is not None
        return found

    size = float(np.sqrt(np.mean([(detectable(gap(0.0)) or 0.0) ** 2 for _ in range(times)])))
    return float(np.mean([clear(g, p_value(g)) for g in (gap(size) for _ in range(times))]))


def _told(name: str, found: float) -> None:
    print(f"{name}: {100 * found:.1f}", flush=True)


def _shares(rng: np.random.Generator, times: int) -> None:
    cells = {cell: share_coverage(rng, *cell, times=times) for cell in share_cells()}
    for alike in (None, 0.0, 0.3, 0.7, 0.95):
        found = np.array([v for c, v in cells.items() if alike in (None, c[2])])
        name = f"shares, {len(found)} settings, alike {'all' if alike is None else alike}"
        for what, value in (("min", found.min()), ("median", np.median(found)), ("max", found.max())):
            _told(f"{name}, {what}", float(value))
        _told(f"{name}, within 93-97", float(((found >= 0.93) & (found <= 0.97)).mean()))
        _told(f"{name}, below 93", float((found < 0.93).mean()))
    for cell in sorted(cells, key=cells.__getitem__)[:6]:
        _told(f"lowest {cell}", cells[cell])


def _means(rng: np.random.Generator, times: int) -> None:
    for n in PEOPLE:
        for sigma in (0.5, 1.0, 1.5):
            drawn = rng.lognormal(sigma=sigma, size=(times, n))
            _told(f"log-normal {sigma}, {n} people", mean_coverage(drawn, float(np.exp(sigma**2 / 2))))
        _told(f"normal, {n} people", mean_coverage(rng.standard_normal((times, n)), 0.0))
        rare = (rng.binomial(5, 0.15, (times, n)) - rng.binomial(5, 0.05, (times, n))) / 5
        _told(f"difference of rare shares, {n} people", mean_coverage(rare, 0.1))


def _seeds(rng: np.random.Generator, times: int) -> None:
    for seeds in (1, 2, 3, 5):
        for between in (0.0, 0.2, 0.5, 1.0):
            where = f"{seeds} seeds, between {between}"
            _told(f"coverage, {where}", seed_coverage(rng, 40, seeds, between, times))
            _told(f"false claim, {where}", false_claims(rng, 40, seeds, between, times))


def _scaled(rng: np.random.Generator, times: int) -> None:
    for seeds in (1, 2, 3):
        for between in (0.0, 0.2, 0.5):
            where = f"{seeds} seeds, between {between}"
            _told(f"share of the way, coverage, {where}", way_coverage(rng, 40, seeds, between, times))
            _told(f"false claim at equal utility, {where}", false_gaps(rng, 60, seeds, between, times // 2))


def _families(rng: np.random.Generator, times: int) -> None:
    for share in (0.1, 0.5):
        _told(f"false claim, any of four, share {share}", false_claims(rng, 40, 1, 0.0, times, share, 4))
    for seeds, between in ((1, 0.0), (3, 0.0), (3, 0.5)):
        found = false_ranks(rng, 40, seeds, between, times // 2)
        _told(f"false rank among five, {seeds} seeds, between {between}", found)
    for seeds, between in ((1, 0.0), (2, 0.1), (3, 0.0), (3, 0.1), (5, 0.0), (5, 0.1)):
        _told(f"power, {seeds} seeds, between {between}", power(rng, 40, seeds, between, times))


def _errors(rng: np.random.Generator, times: int) -> None:
    for n in (5, 10, 40):
        drawn = rng.standard_normal((20 * times, n))
        t = np.abs(drawn.mean(1)) / drawn.std(1, ddof=1) * np.sqrt(n)
        _told(f"value and standard error, {n} people, normal quantile", float((t < 1.96).mean()))
        _told(f"value and standard error, {n} people, t quantile", float((t < stdtrit(n - 1, 0.975)).mean()))


def main(times: int) -> None:
    """Prints everything, in percent."""
    rng = np.random.default_rng(1)
    for part in (_seeds, _scaled, _families, _errors, _means, _shares):
        part(rng, times)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
