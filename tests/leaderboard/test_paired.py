"""People and seeds crossed against an analysis of variance by hand; error rates of tests and ranks by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from unveil.harness.words.names import Direction
from unveil.leaderboard.estimates import Estimate, difference, pool
from unveil.leaderboard.paired import clear, detectable, p_value, ranks
from unveil.leaderboard.seeds import crossed


def trained(values: np.ndarray) -> Estimate:
    """Seeds by people."""
    parts = []
    for seed, row in enumerate(values):
        own = {str(i): float(v) for i, v in enumerate(row)}
        parts.append(Estimate(float(row.mean()), 0.0, 1.0, 1, len(row), len(row), own, {seed: own}))
    return pool(parts, (-np.inf, np.inf), seeds=len(parts))


def test_variance_components_by_hand() -> None:
    found = crossed([[1.0, 2.0], [3.0, 6.0], [5.0, 7.0]])  # means: people 3, 5; seeds 1.5, 4.5, 6; all 4
    assert found.mean == 4.0
    assert found.people == pytest.approx(3 * 2 / 6)  # mean square between people 6, over 6 values
    rest = 2 * (0.5**2 + 0.5**2 + 0) / 2  # what is left of each seed: half a point, half a point, nothing
    assert found.seeds == pytest.approx((2 * 5.25 - 0.25 * rest) / 6)
    t1, t2 = stats.t.ppf(0.975, [1, 2])
    assert found.half(0.025) == pytest.approx(np.sqrt(found.people * t1**2 + found.seeds * t2**2))
    assert found.stretch() == pytest.approx(found.half(0.025) / (t1 * np.sqrt(found.people)))


def test_p_is_where_the_interval_touches_zero() -> None:
    found = crossed(np.random.default_rng(0).normal(0.3, 1.0, (3, 20)))
    assert found.half(found.p() / 2, cautious=True) == pytest.approx(abs(found.mean))
    assert crossed([[1.0, -1.0], [-1.0, 1.0]]).p() == 1.0
    assert crossed([[1.0, 1.0], [1.0, 1.0]]).p() < 1e-8


def claims(seeds: int, between: float, times: int = 400) -> float:
    rng, wrong = np.random.default_rng(seeds), 0
    for _ in range(times):
        a, b = (trained(between * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, 30))) for _ in range(2))
        gap = difference(a, b)
        assert gap
        wrong += clear(gap, p_value(gap))
    return wrong / times


@pytest.mark.parametrize(("seeds", "between"), [(1, 0.0), (2, 0.5), (3, 0.0), (3, 0.5), (5, 0.5)])
def test_nothing_is_claimed_wrongly_more_often_than_said_where_trainings_vary(seeds: int, between: float) -> None:
    assert claims(seeds, between) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)


def test_one_training_cannot_know_how_others_vary() -> None:
    assert claims(1, 0.5) > 0.2


def test_ranks_follow_from_pairs_where_intervals_overlap() -> None:
    rng = np.random.default_rng(0)
    ease = rng.uniform(0, 1, 40)
    named = {
        n: trained((ease + shift + rng.normal(0, 0.02, 40))[None]) for n, shift in (("a", 0), ("b", 0.1), ("c", 0.1))
    }
    assert ranks(named, Direction.LEAKS) == {"a": (1, 1), "b": (2, 3), "c": (2, 3)}


def test_what_follows_from_two_claims_is_claimed() -> None:
    a, b = Estimate(1, 0, 2), Estimate(3.5, 3, 4)
    assert ranks({"a": a, "b": b, "c": Estimate(6, 5, 7)}, Direction.LEAKS)["c"] == (3, 3)


def test_equal_defenses_share_all_ranks() -> None:
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(150):
        ease = rng.normal(size=30)
        found = {str(i): trained((ease + rng.normal(size=30))[None]) for i in range(4)}
        wrong += any(rank != (1, 4) for rank in ranks(found, Direction.LEAKS).values())
    assert wrong / 150 <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 150)


def test_many_defenses_can_still_be_told_apart() -> None:
    ease = np.random.default_rng(0).uniform(size=30)
    found = {str(i): trained((ease + i + 1e-3 * np.arange(30) * (i % 2))[None]) for i in range(35)}  # 595 pairs
    assert ranks(found, Direction.LEAKS)["0"] == (1, 1)


def test_seeds_enter_what_is_detectable() -> None:
    rng = np.random.default_rng(0)
    rest = rng.normal(0, 0.3, (3, 40))
    alike = difference(trained(rest), trained(np.zeros((3, 40))))
    apart = difference(trained(rest + np.array([[-0.3], [0.0], [0.3]])), trained(np.zeros((3, 40))))
    assert alike
    assert apart
    small, large = detectable(alike), detectable(apart)
    assert small
    assert large
    assert large > 3 * small
