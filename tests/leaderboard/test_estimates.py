from __future__ import annotations

import math

import numpy as np
import pytest

from unveil.harness.figures.rows import Figure
from unveil.harness.words.names import Direction
from unveil.leaderboard import estimates as est
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.paired import ranks


def test_pooling_averages_each_person_over_the_seeds_and_resamples_people() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(50)
    seeds = [np.clip(truth + rng.normal(0, 0.05, 50), 0, 1) for _ in range(3)]
    parts = [
        Estimate(float(s.mean()), 0.0, 1.0, 1, 250, 50, {str(i): float(v) for i, v in enumerate(s)}) for s in seeds
    ]
    pooled = est.pool(parts, (0.0, 1.0), seeds=3)
    mean = np.mean(seeds, axis=0)
    half = 2.01 * mean.std(ddof=1) / math.sqrt(50)  # Student's t, 49 degrees of freedom
    assert pooled.value == pytest.approx(mean.mean())
    assert pooled.low == pytest.approx(mean.mean() - half, abs=0.015)
    assert pooled.high == pytest.approx(mean.mean() + half, abs=0.015)
    assert (pooled.seeds, pooled.samples, pooled.identities) == (3, 750, 50)


def two_ways(seeds: int, between: float, people: int = 40) -> Estimate:
    rng = np.random.default_rng(seeds)
    ease = rng.normal(0.5, 0.1, people)
    parts = []
    for seed, shift in enumerate(between * np.linspace(-1, 1, seeds)):
        own = {str(i): float(v) for i, v in enumerate(ease + shift + rng.normal(0, 0.05, people))}
        parts.append(Estimate(float(np.mean(list(own.values()))), 0, 1, 1, people, people, own, {seed: own}))
    return est.pool(parts, (0.0, 1.0), seeds=seeds)


def test_trainings_that_differ_widen_what_is_pooled_over_them() -> None:
    alike, apart = two_ways(3, 0.0), two_ways(3, 0.2)
    assert sorted(apart.by_seed) == [0, 1, 2]
    assert apart.ends[1] - apart.ends[0] > 3 * (alike.ends[1] - alike.ends[0])


def test_attacks_that_share_their_seeds_are_averaged_seed_by_seed() -> None:
    a, b = two_ways(3, 0.1), two_ways(2, 0.1)
    both = est.pool([a, b], (0.0, 1.0), seeds=2)
    assert sorted(both.by_seed) == [0, 1]
    assert both.by_seed[1]["7"] == pytest.approx((a.by_seed[1]["7"] + b.by_seed[1]["7"]) / 2)


def test_differences_are_paired_by_seed() -> None:
    a, b = two_ways(3, 0.2), two_ways(3, 0.2)
    gap = est.difference(a, b)
    assert gap
    assert gap.by_seed[2]["0"] == 0.0
    assert gap.ends == (0.0, 0.0)


def test_pooling_statistics_of_whole_sets_averages_the_ends() -> None:
    pooled = est.pool([Estimate(10, 8, 12), Estimate(20, 16, 24)], (0, math.inf), seeds=2)
    assert (pooled.value, pooled.low, pooled.high) == (15, 12, 18)
    assert est.pool([Estimate(10, 8, 12), Estimate(20)], (0, math.inf), seeds=2).low is None


def test_a_single_estimate_keeps_its_own_interval() -> None:
    one = Estimate(0.5, 0.41, 0.62, 1, 10, 5, {"0": 0.5})
    assert est.pool([one], (0, 1), seeds=1) is one


def test_nobody_recognised_is_not_certainty() -> None:
    low, high = est.over_people({str(i): 0.0 for i in range(40)}, (0.0, 1.0))
    assert low == 0
    assert high == pytest.approx(0.0876, abs=1e-3)  # Wilson, 0 of 40
    assert est.over_people({"0": 3.0}, (-math.inf, math.inf)) == (None, None)


def test_touching_intervals_tie_and_no_interval_ties_with_everything() -> None:
    a, b, c, unknown = Estimate(1, 0, 2), Estimate(3, 2, 4), Estimate(5, 4.1, 6), Estimate(9)
    assert not a.apart(b)
    assert b.apart(c)
    assert not unknown.apart(a)


def test_ranks_are_sets() -> None:
    found = {
        "low": Estimate(1, 0, 2),
        "middle": Estimate(3, 1.5, 4.5),
        "high": Estimate(5, 4, 6),
        "far": Estimate(9, 8, 10),
    }
    assert ranks(found, Direction.LEAKS) == {"low": (1, 2), "middle": (1, 3), "high": (2, 3), "far": (4, 4)}
    assert ranks(found, Direction.PROTECTS)["far"] == (1, 1)


def test_difference_is_paired() -> None:
    easy = {str(i): i / 40 for i in range(41)}
    hard = {k: v + 0.1 for k, v in easy.items()}
    gap = est.difference(Estimate(0.6, per_identity=hard), Estimate(0.5, per_identity=easy))
    assert gap
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))
    assert est.difference(Estimate(0.6, per_identity=hard), Estimate(0.5)) is None


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_a_number_is_not_scored(value: float | None) -> None:
    figure = Figure(metric="m", column="c", unit="share", direction=Direction.LEAKS, range=(0, 1), value=value)
    assert not est.scored(figure)
