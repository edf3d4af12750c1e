"""Operating points against scikit-learn, numpy and by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from unveil.metrics.roc import Pairs, area, errors, needed, threshold


def scores(decimals=None):
    rng = np.random.default_rng(0)
    genuine, impostors = rng.normal(1.5, 1, 300), np.sort(rng.normal(0, 1, 4000))[::-1]
    return (genuine, impostors) if decimals is None else (genuine.round(decimals), impostors.round(decimals))


@pytest.mark.parametrize("decimals", [None, 1])  # 1: many ties
def test_operating_points_are_scikit_learns(decimals):
    genuine, impostors = scores(decimals)
    truth = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostors))])
    both = np.concatenate([genuine, impostors])
    fpr, tpr, _ = roc_curve(truth, both, drop_intermediate=False)
    assert area(genuine, impostors) == pytest.approx(roc_auc_score(truth, both), abs=1e-12)
    for rate in (0.1, 0.01, 0.0025, 0.0033):
        t = threshold(impostors, rate)
        last = np.flatnonzero(fpr <= rate + 1e-12)[-1]
        assert (impostors > t).mean() == pytest.approx(fpr[last])
        assert (genuine > t).mean() <= tpr[last] + 1e-12
        # between the accepted and the refused there is room for the threshold, so only there may genuine pairs differ
        quantile = np.quantile(impostors, 1 - rate, method="inverted_cdf")
        assert quantile - 1e-12 <= t <= min(impostors[impostors > quantile], default=np.inf)
        assert (genuine > quantile).mean() == pytest.approx(tpr[last])


def test_threshold_by_hand():
    impostors = np.array([0.9, 0.7, 0.5, 0.3])
    assert threshold(impostors, 0.25) == pytest.approx(0.8)
    assert threshold(impostors, 0.49) == pytest.approx(0.8)
    assert threshold(impostors, 0.5) == pytest.approx(0.6)
    assert threshold(impostors, 0.1) == pytest.approx(0.9)  # nothing exceeds it
    assert threshold(impostors, 0.5, np.array([2.0, 0, 0, 2])) == pytest.approx(0.4)
    assert area(np.array([0.8, 0.3]), impostors) == pytest.approx((3 + 0.5) / 8)


def test_weights_are_repetitions():
    genuine, impostors = (some[:50] for some in scores())
    rng = np.random.default_rng(1)
    own, others = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    repeated = np.repeat(genuine, own), np.repeat(impostors, others)
    assert area(genuine, impostors, own.astype(float), others.astype(float)) == pytest.approx(area(*repeated))
    for rate in (0.1, 0.3):
        t = threshold(impostors, rate, others.astype(float))
        assert (repeated[1] > t).sum() == (repeated[1] > threshold(repeated[1], rate)).sum()


def test_a_rate_needs_ten_false_accepts():
    assert [needed(rate) for rate in (0.1, 0.01, 0.001, 0.003)] == [100, 1000, 10_000, 3334]


def test_a_pair_counts_as_often_as_its_people():
    pairs = Pairs(np.zeros(3), np.array([0, 1, 2]), np.array([0, 0, 1]))
    assert pairs.weights(np.array([3.0, 2, 5])).tolist() == [3, 6, 10]


def repetition(rng, private=25, strangers=40):
    """Scores with an effect of each person on both sides, as real ones have."""
    shown = np.repeat(np.arange(private + strangers), 2)
    effect = rng.normal(0, 0.5, private + strangers), rng.normal(0, 0.5, private)
    rows, columns = np.repeat(shown, private), np.tile(np.arange(private), len(shown))
    s = effect[0][rows] + effect[1][columns] + rng.normal(0, 1, len(rows)) + 3 * (rows == columns)
    same = rows == columns
    return Pairs(s[same], rows[same], columns[same]), Pairs(s[~same], rows[~same], columns[~same]).descending()


def test_errors_are_those_of_repetitions():
    rng, found, said = np.random.default_rng(0), [], []
    for number in range(60):
        genuine, impostors = repetition(rng)
        found.append([area(genuine.scores, impostors.scores), threshold(impostors.scores, 0.01)])
        if number < 10:
            auc, at = errors(genuine, impostors, [0.01], 25, 60, rng)
            said.append([auc, *at])
    ratio = np.mean(said, axis=0) / np.std(found, axis=0, ddof=1)
    assert (ratio > 0.75).all()
    assert (ratio < 1.5).all()
