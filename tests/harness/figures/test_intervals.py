from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from unveil.harness.figures.intervals import interval, to_figure, wilson
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.names import Quantity


def measurement(**changes):
    plain = {"values": None, "identities": None, "value": None, "standard_error": None, "reason": None, "samples": 0}
    plain |= {"counted": False, "about": Quantity(quantity="top-1")}
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


def test_skewed_means_have_the_bootstrap_t_interval_widened_to_students():
    values = np.random.default_rng(1).lognormal(size=60)
    mean, error, rng = values.mean(), stats.sem(values), np.random.default_rng(2)
    again = rng.choice(values, (20_000, 60))
    student = (again.mean(1) - mean) / stats.sem(again, axis=1)
    low, high = interval(values, np.arange(60), resamples=20_000)
    assert high == pytest.approx(mean - np.quantile(student, 0.025) * error, rel=0.02)
    assert low == pytest.approx(stats.t.interval(0.95, 59, mean, error)[0])  # the skewed side is the narrower one
    normal = np.random.default_rng(3).normal(size=12)
    student = stats.ttest_1samp(normal, 0).confidence_interval()
    ours = interval(normal, np.arange(12))
    assert ours[0] <= student.low + 1e-12
    assert ours[1] >= student.high - 1e-12


def test_people_with_unequal_counts_have_the_error_of_a_ratio():
    values, who = np.array([1.0, 2, 4, 3, 9]), np.array([0, 0, 0, 1, 2])  # sums 7, 3, 9 of 3, 1, 1
    low, _ = interval(values, who)
    error = np.sqrt(3 / 2 * ((7 - 3 * 3.8) ** 2 + (3 - 3.8) ** 2 + (9 - 3.8) ** 2)) / 5
    assert low <= 3.8 - stats.t.ppf(0.975, 2) * error + 1e-9


def test_a_share_has_wilsons_interval_at_the_effective_trials():
    values = np.concatenate([np.ones(20 * 3), np.zeros(20 * 3)])  # 40 people, each all right or all wrong
    low, high = interval(values, np.repeat(np.arange(40), 3), bounds=(0, 1))
    trials = 39 * (1.959964 / 2.022691) ** 2  # p (1 - p) over the variance of a mean of 40, and t with 39 degrees
    assert (low, high) == pytest.approx(wilson(0.5, trials), abs=2e-4)
    half = np.tile([1.0, 0.0], 40)  # every person one of two: no spread at all, so one trial a person
    assert interval(half, np.repeat(np.arange(40), 2), bounds=(0, 1)) == pytest.approx(wilson(0.5, 40))


def test_few_hits_are_not_taken_for_independent():
    values = np.zeros((40, 5))
    values[0, 0] = values[1, 0] = 1  # two people, one hit each: the spread alone would say 200 trials
    _, high = interval(values.ravel(), np.repeat(np.arange(40), 5), bounds=(0, 1))
    assert wilson(0.01, 200)[1] < high < wilson(0.01, 40)[1]
    assert high == pytest.approx(wilson(0.01, TRIALS)[1], abs=1e-3)


TRIALS = 200 / (1 + 9 / 13 * 4) * (1.959964 / 2.022691) ** 2  # design effect 1, drawn towards 5 by 9 / (9 + 2^2)


def test_stretch_widens_both_kinds():
    rng = np.random.default_rng(0)
    values, who = rng.normal(size=30), np.arange(30)
    one, two = interval(values, who), interval(values, who, stretch=2.0)
    assert two[1] - two[0] == pytest.approx(2 * (one[1] - one[0]))
    hits = np.tile([0.0, 1.0, 1.0], 10)
    wide = interval(hits, who, bounds=(0, 1), stretch=3.0)
    assert 0 <= wide[0] < interval(hits, who, bounds=(0, 1))[0]


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


@pytest.mark.parametrize(("sigma", "low"), [(0.5, 0.93), (1.0, 0.90)])
def test_covers_the_mean_of_skewed_distances(sigma, low):
    drawn, truth = np.random.default_rng(0).lognormal(sigma=sigma, size=(800, 60)), np.exp(sigma**2 / 2)
    ends = np.array([interval(v, np.arange(60), resamples=1000) for v in drawn])
    assert low <= np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) <= 0.975


def test_figure_from_values():
    m = measurement(values=np.array([1.0, 0, 1, 1]), identities=np.array([3, 3, 5, 5]), samples=9)
    figure = to_figure("attack_accuracy", "resnet", m)
    assert figure.value == 0.75
    assert figure.per_identity == {"3": 0.5, "5": 1.0}
    assert (figure.samples, figure.identities, figure.name) == (9, 2, "attack_accuracy/top-1@resnet")
    assert 0 <= figure.low < 0.75 < figure.high <= 1


def test_figure_from_a_value_has_students_interval_cut_to_its_range():
    m = measurement(value=1.0, standard_error=1.0, low=0.0, high=np.inf, identities=np.array([1, 1, 2]))
    figure = to_figure("fid", None, m)
    assert (figure.value, figure.low, figure.identities) == (1.0, 0.0, 2)
    assert figure.high == pytest.approx(1 + 12.7062, abs=1e-4)  # two people: one degree of freedom
    unknown = to_figure("auc", None, measurement(value=1.0, standard_error=1.0, high=np.inf))
    assert unknown.high == pytest.approx(1 + 1.959964)
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
