"""What is computed from several means: its slopes, and what a second training adds to its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unveil.leaderboard.estimates import Estimate, over_people
from unveil.leaderboard.resampling import Drawn
from unveil.leaderboard.seeds import crossed

ANY = (-math.inf, math.inf)
NAMES = [str(i) for i in range(30)]


def part(values: np.ndarray, seeds: bool = True) -> Estimate:
    """From values ``(seeds, people)``."""
    mean = dict(zip(NAMES, values.mean(0), strict=True))
    by_seed = {s: dict(zip(NAMES, own, strict=True)) for s, own in enumerate(values)} if seeds else {}
    return Estimate(float(values.mean()), seeds=len(values), per_identity=mean, by_seed=by_seed)


def test_slopes_are_those_of_the_statistic() -> None:
    rng = np.random.default_rng(0)
    drawn = Drawn([part(0.5 + 0.1 * rng.random((2, 30))), part(2 + 0.1 * rng.random((2, 30)))])
    x, y = drawn.means
    assert drawn.slopes(x / y) == pytest.approx([1 / y[0], -x[0] / y[0] ** 2], rel=1e-3)
    assert drawn.slopes(3 * x - y) == pytest.approx([3, -1])
    assert drawn.slopes(np.where(x >= x[0], 2 * x, np.nan)) == pytest.approx([2, 0])  # defined to one side only
    assert drawn.slopes(np.full(len(x), np.nan)) == pytest.approx([0, 0], nan_ok=True)


def test_what_seeds_add_is_what_crossed_seeds_say() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((3, 30)) + np.array([[0.0], [0.2], [0.3]])
    alone, both = Drawn([part(values, seeds=False)]), Drawn([part(values)])
    narrow, wide = (d.interval(d.means[0], ANY) for d in (alone, both))
    more = crossed(values.tolist()).half_of_seeds(0.025)
    assert more > narrow.ends[1] - narrow.value
    assert wide.value == narrow.value
    assert wide.value - wide.ends[0] == pytest.approx(math.hypot(narrow.value - narrow.ends[0], more))
    assert wide.ends[1] - wide.value == pytest.approx(math.hypot(narrow.ends[1] - narrow.value, more))
    plain = part(values)
    known = over_people(plain.per_identity, ANY, plain.by_seed)
    assert known == pytest.approx(wide.ends, abs=0.02)  # of a single mean it is nearly what cells have


def test_a_ratio_by_the_delta_method() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.random((2, 30)) + 0.5, rng.random((2, 30)) + 2
    x[1] += 0.05
    drawn = Drawn([part(x), part(y)])
    a, b = drawn.means
    found = drawn.interval(a / b, ANY)
    linear = (x - x.mean() / y.mean() * y) / y.mean()
    half = crossed(linear.tolist()).half(0.025)
    assert found.ends == pytest.approx((x.mean() / y.mean() - half, x.mean() / y.mean() + half), rel=0.1)


def test_people_who_agree_leave_the_seeds_alone() -> None:
    values = np.repeat([[0.4], [0.5], [0.6]], 30, axis=1)
    drawn = Drawn([part(values)])
    found = drawn.interval(drawn.means[0], ANY)
    half = crossed(values.tolist()).half(0.025)
    assert half > 0.2
    assert found.ends == pytest.approx((0.5 - half, 0.5 + half))


def test_a_part_that_no_training_moves_is_the_same_in_each() -> None:
    rng = np.random.default_rng(3)
    values, ceiling = rng.random((2, 30)) + np.array([[0.0], [0.1]]), part(rng.random((1, 30)), seeds=False)
    drawn = Drawn([part(values), ceiling])
    x, y = drawn.means
    widened = drawn.interval(y - x, ANY)
    alone = Drawn([part(values, seeds=False), ceiling])
    assert widened.ends[1] > alone.interval(alone.means[1] - alone.means[0], ANY).ends[1]


def test_seeds_that_attacked_other_people_cannot_be_crossed() -> None:
    one, two = {"0": 0.2, "1": 0.4}, {"1": 0.6, "2": 0.8}
    union = {"0": 0.2, "1": 0.5, "2": 0.8}
    odd = Estimate(0.5, per_identity=union, by_seed={0: one, 1: two})
    plain = Estimate(0.5, per_identity=union)
    ends = [Drawn([p]).interval(Drawn([p]).means[0], ANY).ends for p in (odd, plain)]
    assert ends[0] == ends[1]


def test_nobody_known_means_no_interval() -> None:
    drawn = Drawn([Estimate(0.5), Estimate(0.2)])
    x, y = drawn.means
    found = drawn.interval(x - y, ANY)
    assert (found.value, found.low, drawn.people, drawn.reached(x)) == (pytest.approx(0.3), None, 0, 1.0)
