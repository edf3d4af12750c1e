"""The memorisation gap by enumeration of subsets and diversity by loops, on an evaluator that reads pixels."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from unveil.harness.figures.intervals import to_figure
from unveil.harness.types import Direction
from unveil.harness.words.errors import JudgeError
from unveil.metrics.diversity import Diversity
from unveil.metrics.memorisation_gap import MemorisationGap, nearest_of


def rows(images, label):
    return images.pixels[images.labels == label][:, 0, 0, :].double().numpy()


def expected_nearest(x, y, m):
    d = np.linalg.norm(x - y, axis=1)
    return np.mean([min(subset) for subset in combinations(d, m)])


@pytest.mark.parametrize("m", [1, 3, 7])
def test_nearest_of_a_subset_is_the_mean_over_all_subsets(m):
    distances = np.random.default_rng(0).random((5, 7))
    expected = [np.mean([min(subset) for subset in combinations(row, m)]) for row in distances]
    np.testing.assert_allclose(nearest_of(distances, m), expected, rtol=1e-12)


def test_nearest_of_many_does_not_overflow():
    distances = np.sort(np.random.default_rng(0).random((2, 3000)), axis=1)
    np.testing.assert_allclose(nearest_of(distances, 3000), distances[:, 0])
    np.testing.assert_allclose(nearest_of(distances, 1), distances.mean(1))


def test_gap_is_that_of_equally_many_pictures(build, some, reader):
    train, test, fakes = some([5, 4, 2], 0), some([2, 3, 4], 1), some([2, 2], 2)
    (m,) = MemorisationGap().measure(build(fakes=fakes, train=train, test=test, evaluator=reader(3)))
    expected = []
    for label, fewest in ((0, 2), (1, 3)):
        a, b = rows(train, label), rows(test, label)
        expected += [expected_nearest(x, a, fewest) - expected_nearest(x, b, fewest) for x in rows(fakes, label)]
    assert m.values == pytest.approx(expected, abs=1e-6)
    assert (m.identities.tolist(), m.samples, m.direction) == ([0, 0, 1, 1], 4, Direction.PROTECTS)
    to_figure("memorisation_gap", "e", m)


def test_what_was_memorised_is_below_zero_and_what_was_not_is_about_zero(build, some, reader):
    train, test = some([20] * 30, 0), some([4] * 30, 1)
    (copied,) = MemorisationGap().measure(build(fakes=train, train=train, test=test, evaluator=reader(3), people=30))
    (held,) = MemorisationGap().measure(build(fakes=test, train=train, test=test, evaluator=reader(3), people=30))
    (fresh,) = MemorisationGap().measure(
        build(fakes=some([20] * 30, 2), train=train, test=test, evaluator=reader(3), people=30)
    )
    assert copied.values.mean() < -0.05
    assert held.values.mean() > 0.2
    figure = to_figure("memorisation_gap", "e", fresh)
    assert figure.low < 0 < figure.high


def test_gap_says_what_it_lacks(build, some, reader):
    train, test, fakes = some([3, 3], 0), some([3], 1), some([2, 2], 2)
    (m,) = MemorisationGap().measure(build(fakes=fakes, train=train, test=test, evaluator=reader(3)))
    assert "no held-out private test picture of class 1" in m.reason
    (m,) = MemorisationGap().measure(build(fakes=fakes, train=test, test=train, evaluator=reader(3)))
    assert "no private training picture of class 1" in m.reason
    with pytest.raises(JudgeError):
        MemorisationGap().measure(build(fakes=fakes, train=train, test=train))


def mean_distance(x):
    return np.mean([np.linalg.norm(a - b) for a, b in combinations(x, 2)])


def test_diversity_is_the_ratio_of_mean_distances(build, some, reader):
    train, test, fakes = some([3, 4, 2], 0), some([2, 1, 1], 1), some([2, 5], 2)
    evidence = build(fakes=fakes, train=train, test=test, evaluator=reader(3))
    (m,) = Diversity().measure(evidence)
    expected = [
        mean_distance(rows(fakes, label)) / mean_distance(np.concatenate([rows(train, label), rows(test, label)]))
        for label in (0, 1)
    ]
    assert m.values == pytest.approx(expected, rel=1e-5)
    assert (m.identities.tolist(), m.samples, m.direction) == ([0, 1], 7, Direction.DESCRIBES)
    to_figure("diversity", "e", m)
    swapped = replace(evidence, reconstructions=fakes[torch.arange(6, -1, -1)])
    assert Diversity().measure(swapped)[0].values == pytest.approx(expected, rel=1e-5)


def test_always_the_same_picture_has_no_diversity(build, some, reader, pictures):
    fakes = pictures([[0.3, 0.6, 0.1]] * 4, [0, 0, 1, 1])
    (m,) = Diversity().measure(build(fakes=fakes, train=some([3, 3], 0), evaluator=reader(3)))
    assert m.values.tolist() == [0, 0]


def test_diversity_says_what_it_lacks(build, some, reader, pictures):
    train = some([3, 3], 0)
    (m,) = Diversity().measure(build(fakes=some([2, 1], 1), train=train, evaluator=reader(3)))
    assert "fewer than two reconstructions of class 1" in m.reason
    (m,) = Diversity().measure(build(fakes=some([2, 2], 1), train=train[:3], evaluator=reader(3)))
    assert "fewer than two private pictures of class 1" in m.reason
    same = pictures([[0.3, 0.6, 0.1]] * 2, [0, 0])
    (m,) = Diversity().measure(build(fakes=some([2], 1), train=same, evaluator=reader(3)))
    assert "tells no private pictures of class 0 apart" in m.reason
