"""Exposure by enumeration, and by simulation where the naive mean of the worst-off is known to be wrong."""

from itertools import combinations

import numpy as np
import pytest

from unveil.harness.figures.intervals import draws, to_figure
from unveil.harness.types import Direction
from unveil.metrics.exposure import SPLITS, Exposure, at_least_one, halves, worst


def by_column(measurements):
    for m in measurements:
        to_figure("exposure", "judge", m)
    return {m.column: m for m in measurements}


@pytest.fixture
def judged(build, reader, pictures):
    """The figures where these of a person's pictures are accepted; classes beyond the people are strangers."""

    def measured(accepted, metric=None):
        labels = np.repeat(np.arange(len(accepted)), [len(own) for own in accepted])
        scores = np.zeros((len(labels), len(accepted) + 1))
        flat = np.concatenate(accepted).astype(bool)
        scores[np.arange(len(labels)), np.where(flat, labels, len(accepted))] = 1.0
        evidence = build(fakes=pictures(scores, labels), evaluator=reader(len(accepted) + 1), people=len(accepted))
        return by_column((metric or Exposure()).measure(evidence))

    return measured


def test_columns_by_hand(judged):
    found = judged([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    once, mostly = found["exposed at least once"], found["exposed mostly"]
    assert once.values == pytest.approx([0, 1, 1, 1, 1])
    assert mostly.values.tolist() == [0, 0, 0, 1, 1]
    assert (once.identities.tolist(), once.samples, once.direction) == ([0, 1, 2, 3, 4], 20, Direction.LEAKS)
    most, least = found["worst-off 10 % of people, at most"], found["worst-off 10 % of people, at least"]
    assert most.value == 1.0
    # Half of four pictures: 4 of 4 is chosen for sure, unless another one has two hits in the half and wins the tie.
    assert 0.8 < least.value < 1.0
    assert len(found) == 4


def test_unequal_numbers_get_equally_many_tries(judged):
    own = [[1, 0, 0, 0, 0], [1, 1, 0], [0, 0]]
    found = judged(own)["exposed at least once"]
    expected = [np.mean([any(pair) for pair in combinations(one, 2)]) for one in own]
    assert found.values == pytest.approx(expected)
    assert judged(own, Exposure(tries=1))["exposed at least once"].values == pytest.approx([0.2, 2 / 3, 0])
    assert "fewer than the 3 tries" in judged(own, Exposure(tries=3))["exposed at least once"].reason


def test_at_least_one_is_the_mean_over_all_choices():
    for m in range(1, 7):
        for s in range(m + 1):
            for t in range(1, m + 1):
                pictures = [1] * s + [0] * (m - s)
                expected = np.mean([any(some) for some in combinations(pictures, t)])
                assert at_least_one(np.array([s]), np.array([m]), t)[0] == pytest.approx(expected, abs=1e-12)


def test_one_picture_of_a_person_cannot_be_halved(judged):
    found = judged([[1], [0, 0], [0, 1]])
    assert "one reconstruction of a person" in found["worst-off 10 % of people, at least"].reason
    assert found["worst-off 10 % of people, at most"].value == 1.0


def test_nobody_and_everybody_exposed_are_not_certain(judged):
    for hit in (0, 1):
        found = judged([[hit] * 4] * 40)
        for side in ("at most", "at least"):
            m = found[f"worst-off 10 % of people, {side}"]
            figure = to_figure("exposure", None, m)
            assert m.value == hit
            assert figure.high - figure.low > 0.3


def test_halves_are_splits_of_the_pictures():
    hit, made = np.array([3, 0, 5]), np.array([4, 3, 5])
    a, b = halves(hit, made, 500)
    first, second = np.round(a[:500] * (made // 2)), b[:500] * (made - made // 2)
    np.testing.assert_allclose(first + second, np.broadcast_to(hit, (500, 3)))
    share = np.mean(first[:, 0] == 1)  # one of the two in the first half missed: C(3,1) C(1,1) / C(4,2)
    assert share == pytest.approx(0.5, abs=0.08)


def test_worst_is_a_loop_over_people_drawn_with_replacement():
    rng = np.random.default_rng(0)
    chosen, counted, times = rng.random((5, 12)), rng.random((5, 12)), draws(12, 7)
    expected = []
    for drawn in times:
        who = np.repeat(np.arange(12), drawn.astype(int))
        splits = [b[sorted(who, key=lambda i: -a[i])[:3]].mean() for a, b in zip(chosen, counted, strict=True)]
        expected.append(np.mean(splits))
    np.testing.assert_allclose(worst(chosen, counted, 3, times), expected)


def simulated(rates, pictures, repetitions, seed=0):
    """(naive, cross-fitted) means of the worst tenth, one row per repetition."""
    rng = np.random.default_rng(seed)
    once, k, made = np.ones((1, len(rates))), len(rates) // 10, np.full(len(rates), pictures)
    out = []
    for hit in rng.binomial(pictures, rates, (repetitions, len(rates))):
        naive = (hit / made)[None]
        out.append([float(worst(*pair, k, once)[0]) for pair in ((naive, naive), halves(hit, made, 20))])
    return np.array(out)


def test_the_winners_curse_is_lifted_where_all_are_equally_exposed():
    found = simulated(np.full(40, 0.4), 6, 400)
    naive, fitted = found.mean(0)
    error = found[:, 1].std(ddof=1) / np.sqrt(len(found))
    assert fitted == pytest.approx(0.4, abs=4 * error)
    assert error < 0.01
    assert naive > 0.4 + 0.3, "the worst tenth of people who are all alike look twice as exposed as they are"


def test_the_two_bracket_the_truth_and_close_in_on_it():
    rates = np.random.default_rng(1).beta(0.5, 1.5, 60)
    truth = np.sort(rates)[-6:].mean()
    gaps = []
    for pictures in (4, 40):
        naive, fitted = simulated(rates, pictures, 200).mean(0)
        assert fitted < truth < naive
        gaps.append(naive - fitted)
    assert gaps[1] < gaps[0] / 2


def test_cross_fitting_is_unbiased_for_whom_half_the_pictures_find():
    """People differ: the truth is the mean rate of the six who look worst in half of the pictures."""
    rng = np.random.default_rng(2)
    rates, k = rng.beta(0.5, 1.5, 60), 6
    hit = rng.binomial(3, rates, (20_000, 60))
    order = np.argsort(-(hit + rng.random(hit.shape)), axis=1)[:, :k]
    truth = rates[order].mean()
    found = simulated(rates, 6, 600)
    error = found[:, 1].std(ddof=1) / np.sqrt(len(found))
    assert found[:, 1].mean() == pytest.approx(truth, abs=4 * error)
    assert abs(found[:, 0].mean() - truth) > 20 * error


@pytest.mark.slow
def test_the_standard_error_is_that_of_other_people(judged):
    """People drawn anew, their pictures too: the bootstrap says how far the figure moves."""
    rng = np.random.default_rng(3)
    values, errors = [], []
    for _ in range(60):
        rates = rng.beta(0.5, 1.5, 40)
        m = judged([rng.random(6) < p for p in rates])["worst-off 10 % of people, at least"]
        values.append(m.value)
        errors.append(m.standard_error)
    assert 0.7 < np.mean(errors) / np.std(values, ddof=1) < 1.4


def test_order_and_who_is_who_do_not_matter(judged):
    own = [[1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]] * 5
    one = judged(own)["worst-off 10 % of people, at least"]
    other = judged([sorted(pictures) for pictures in own])["worst-off 10 % of people, at least"]
    assert (one.value, one.standard_error) == (other.value, other.standard_error)
    assert SPLITS >= 50
