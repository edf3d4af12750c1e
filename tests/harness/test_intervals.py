from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from unveil.harness.errors import UnveilError
from unveil.harness.intervals import interval, to_figure, wilson


def measurement(**changes):
    plain = {"values": None, "identities": None, "value": None, "standard_error": None, "reason": None, "samples": 0}
    return SimpleNamespace(
        **(
            {"column": "top-1", "unit": "share", "direction": "higher leaks more", "low": 0.0, "high": 1.0}
            | plain
            | changes
        )
    )


@pytest.mark.parametrize(("hits", "trials"), [(0, 40), (3, 40), (20, 40), (40, 40), (1, 2)])
def test_wilson_is_scipys(hits, trials):
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert wilson(hits / trials, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("each", [1, 5])
def test_constant_values_have_the_width_that_as_many_people_allow(value, each):
    low, high = interval(np.full(40 * each, value), np.repeat(np.arange(40), each), bounds=(0, 1))
    assert (low, high) == pytest.approx(wilson(value, 40))
    assert high - low > 0.08


def test_bootstrap_agrees_with_scipys_over_people_and_with_student():
    values = np.random.default_rng(1).lognormal(size=200)
    ours = interval(values, np.arange(200), resamples=20_000)
    percentile = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(2))
    assert ours == pytest.approx(tuple(percentile.confidence_interval), rel=0.02)
    normal = np.random.default_rng(3).normal(size=12)
    student = stats.ttest_1samp(normal, 0).confidence_interval()
    low, high = interval(normal, np.arange(12), resamples=20_000)
    assert high - low == pytest.approx(student.high - student.low, rel=0.1)


def test_people_are_resampled_not_their_pictures():
    person = np.random.default_rng(0).normal(size=60)
    one = interval(person, np.arange(60))
    ten = interval(np.repeat(person, 10), np.repeat(np.arange(60), 10))
    assert ten == pytest.approx(one)


def test_same_values_same_interval_in_any_order():
    values, people = np.random.default_rng(0).random(50), np.repeat(np.arange(10), 5)
    order = np.random.default_rng(1).permutation(50)
    assert interval(values[order], people[order]) == pytest.approx(interval(values, people), abs=1e-12)


def test_one_person_of_unknown_range_tells_nothing():
    assert interval([1.0, 2.0], [7, 7]) == (-np.inf, np.inf)


@pytest.mark.parametrize("people", [40, 80])
@pytest.mark.parametrize(("mean", "alike"), [(0.5, 0.3), (0.25, 0.3), (0.9, 0.3), (0.02, 0.3), (0.5, 0.02), (0.5, 0.8)])
def test_covers_the_truth_in_95_percent_of_repetitions(people, mean, alike):
    rng, each = np.random.default_rng(0), 5
    strength = 1 / alike - 1
    own = rng.beta(mean * strength, (1 - mean) * strength, (500, people))
    identities = np.repeat(np.arange(people), each)
    drawn = rng.random((500, people, each)) < own[..., None]
    ends = [interval(v.ravel(), identities, resamples=300, bounds=(0, 1)) for v in drawn.astype(float)]
    covered = np.mean([low <= mean <= high for low, high in ends])
    assert 0.92 <= covered <= 0.985


def test_covers_the_mean_of_skewed_distances_as_well_as_student():
    # A skewed mean is hard for both: some 94 %, which 1000 repetitions know to 0.8 points.
    drawn, truth = np.random.default_rng(0).lognormal(sigma=0.5, size=(1000, 80)), np.exp(0.5 * 0.5**2)
    ends = [interval(v, np.arange(80), resamples=1000) for v in drawn]
    ours = np.mean([low <= truth <= high for low, high in ends])
    student = stats.ttest_1samp(drawn, 0, axis=1).confidence_interval()
    assert ours == pytest.approx(np.mean((student.low <= truth) & (truth <= student.high)), abs=0.015)
    assert 0.92 <= ours <= 0.97


def test_figure_from_values():
    m = measurement(values=np.array([1.0, 0, 1, 1]), identities=np.array([3, 3, 5, 5]), samples=9)
    figure = to_figure("attack_accuracy", "resnet", m)
    assert figure.value == 0.75
    assert figure.per_identity == {"3": 0.5, "5": 1.0}
    assert (figure.samples, figure.identities, figure.name) == (9, 2, "attack_accuracy/top-1@resnet")
    assert 0 <= figure.low < 0.75 < figure.high <= 1


def test_figure_from_a_value_has_a_normal_interval_cut_to_its_range():
    m = measurement(value=1.0, standard_error=1.0, low=0.0, high=np.inf, identities=np.array([1, 1, 2]))
    figure = to_figure("fid", None, m)
    assert (figure.value, figure.low, figure.identities) == (1.0, 0.0, 2)
    assert figure.high == pytest.approx(1 + 1.959964)
    bare = to_figure("fid", None, measurement(value=0.5))
    assert (bare.low, bare.high) == (None, None)


def test_figure_of_what_is_not_scored():
    figure = to_figure("fid", None, measurement(reason="too few"))
    assert (figure.value, figure.low, figure.reason) == (None, None, "too few")


def test_figure_of_one_person_at_unknown_range_has_no_interval():
    m = measurement(values=np.array([3.0]), identities=np.array([0]), high=np.inf)
    assert (to_figure("knn", "e", m).low, to_figure("knn", "e", m).high) == (None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "exactly one"),
        ({"value": 0.5, "reason": "x"}, "exactly one"),
        ({"value": float("nan")}, "not finite"),
        ({"value": 0.5, "standard_error": float("inf")}, "not finite"),
        ({"values": np.array([0.5, np.nan]), "identities": np.array([0, 1])}, "1 values that are not finite"),
        ({"values": np.array([0.5, 1.5]), "identities": np.array([0, 1])}, "from 0.5 to 1.5"),
        ({"values": np.array([]), "identities": np.array([])}, "no value"),
        ({"values": np.array([1.0])}, "whose"),
        ({"values": np.array([1.0, 0.0]), "identities": np.array([1])}, "shape"),
    ],
)
def test_figure_refuses_what_a_metric_must_not_say(changes, message):
    with pytest.raises(UnveilError, match=message):
        to_figure("broken", None, measurement(**changes))
