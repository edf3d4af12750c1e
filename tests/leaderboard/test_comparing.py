"""Defenses against none: exact tests, Holm by hand, error rates and power by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from unveil.harness.words.names import Direction, Quantity
from unveil.leaderboard.columns import Column
from unveil.leaderboard.comparing import Comparison, comparisons, smallest
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.paired import detectable, holm, sign_flip


def compared(direction: str = Direction.LEAKS, **people: list[float] | Estimate) -> dict[str, Comparison]:
    """Defenses by name, each with a value a person or as it is."""
    means = {
        d: v
        if isinstance(v, Estimate)
        else Estimate(float(np.mean(v)), per_identity={str(i): x for i, x in enumerate(v)})
        for d, v in people.items()
    }
    column = Column("attack_accuracy", Quantity(quantity="top-1"), "judge", "share", direction, (0.0, 1.0))
    return {c.defense: c for c in comparisons(Matrix(column, {}, {}, tuple(means), ("gmi",), means, {}))}


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_signs_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.2, 0.5):
        gaps = rng.normal(shift, 0.5, 12)
        exact = stats.permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip(list(gaps)) == pytest.approx(exact.pvalue, abs=0.012)
    assert sign_flip([-0.2] * 4 + [0.0] * 36) == pytest.approx(2 / 2**4, abs=0.01)
    assert sign_flip([0.1] * 30) == 1e-4


def test_sides_follow_the_direction_and_need_the_same_people() -> None:
    base = [0.5 + 0.01 * i for i in range(20)]
    less = [v - 0.2 for v in base]
    found = compared(none=base, ls=less, other=base)
    assert [(c.side, c.family) for c in found.values()] == [("less", 2), ("tie", 2)]
    assert found["ls"].p == pytest.approx(2e-4)
    assert found["other"].detectable is None  # all differ alike: no spread to judge by
    assert compared(Direction.PROTECTS, none=base, ls=less)["ls"].side == "more"
    assert compared(ls=less) == {}
    apart = compared(none=Estimate(0.6, 0.5, 0.7), ls=Estimate(0.2, 0.1, 0.3), mid=Estimate(0.4, 0.3, 0.5))
    assert [(c.side, c.p) for c in apart.values()] == [("less", None), ("tie", None)]
    assert smallest(tuple(apart.values())) == {}


def hits(rng: np.random.Generator, ease: np.ndarray) -> list[float]:
    return list(rng.binomial(5, np.clip(ease, 0, 1)) / 5)


@pytest.mark.parametrize("mean", [0.1, 0.5])
def test_no_defense_is_said_to_work_that_does_not(mean: float) -> None:
    rng = np.random.default_rng(1)
    wrong = one = 0
    for _ in range(400):
        ease = rng.beta(4 * mean, 4 * (1 - mean), 40)
        found = compared(**{d: hits(rng, ease) for d in ("none", "a", "b", "c", "d")})
        wrong += any(c.side != "tie" for c in found.values())
        one += compared(none=hits(rng, ease), a=hits(rng, ease))["a"].side != "tie"
    assert wrong <= 0.07 * 400  # 5 % and two standard errors
    assert one <= 0.07 * 400


def test_a_detectable_difference_is_found_eight_times_in_ten() -> None:
    rng = np.random.default_rng(2)
    told, found = [], []
    true = 0.13
    for _ in range(300):
        ease = rng.uniform(0.3, 0.9, 40)
        c = compared(none=hits(rng, ease), a=hits(rng, ease - true))["a"]
        told.append(c.detectable)
        found.append(c.side == "less")
    spread = np.sqrt(np.mean([(t or 0) ** 2 for t in told]))
    exact = float(stats.norm.cdf((true / spread) * (1.96 + 0.84) - 1.96))  # power at the true difference
    assert np.mean(found) == pytest.approx(exact, abs=0.08)
    gaps = rng.normal(0.0, 0.3, 40)
    size = detectable(Estimate(0.0, per_identity={str(i): g for i, g in enumerate(gaps)}))
    assert size
    power = np.mean([stats.ttest_1samp(rng.normal(size, gaps.std(ddof=1), 40), 0).pvalue < 0.05 for _ in range(1000)])
    assert power == pytest.approx(0.8, abs=0.05)
    assert detectable(Estimate(0.2, per_identity={"0": 0.1, "1": 0.3})) is None  # too few people for any verdict
