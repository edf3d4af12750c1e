"""Metrics that ask an evaluator or the target, on classifiers that read their answer off the pixels."""

import numpy as np
import pytest
import torch

from unveil.harness.figures.calibration import calibration_error
from unveil.harness.figures.intervals import to_figure
from unveil.harness.types import Direction, Images
from unveil.harness.words.errors import JudgeError, UnveilError
from unveil.metrics.attack_accuracy import AttackAccuracy
from unveil.metrics.judging import as_pictures, hits
from unveil.metrics.knn_distance import KNNDistance
from unveil.metrics.utility import Utility


def by_column(measurements):
    return {m.about.column: m for m in measurements}


def test_open_set_evaluator_may_say_nobody(build, pictures, reader):
    # Classes 0-2 are private, 3-5 public. Rows: right; a private impostor; nobody, though 1 is the best private guess.
    scores = [[0.9, 0.1, 0.2, 0.3, 0, 0], [0.5, 0.8, 0.2, 0.1, 0, 0], [0.2, 0.6, 0.1, 0.9, 0, 0]]
    evidence = build(fakes=pictures(scores, [0, 0, 1]), evaluator=reader(6))
    columns = by_column(AttackAccuracy().measure(evidence))
    # One person has two pictures, the other one: averaged per person first.
    assert columns["top-1"].values.tolist() == [0.5, 0.0]
    assert columns["top-1"].identities.tolist() == [0, 1]
    assert columns["closed-set top-1"].values.tolist() == [0.5, 1.0]
    assert columns["nobody here"].values.tolist() == [0.0, 1.0]
    assert columns["nobody here"].direction is Direction.PROTECTS
    assert columns["top-5"].values.tolist() == [1.0, 1.0]
    assert {m.samples for m in columns.values()} == {3}


def test_closed_set_evaluator_has_no_nobody(build, pictures, reader):
    evidence = build(fakes=pictures(np.eye(3), [0, 1, 0]), evaluator=reader(3))
    columns = by_column(AttackAccuracy().measure(evidence))
    assert set(columns) == {"top-1", "top-5"}
    assert columns["top-5"].values is None
    assert "5 classes" in columns["top-5"].reason
    assert to_figure("attack_accuracy", "e", columns["top-1"]).per_identity == {"0": 0.5, "1": 1.0}


def test_what_is_below_a_level_of_grey_convinces_nobody(build, pictures, reader):
    whisper = [[0.5, 0.5005, 0.2]]  # between two levels of 8 bits: a tie, which counts against the attack
    columns = by_column(AttackAccuracy().measure(build(fakes=pictures(whisper, [1]), evaluator=reader(3))))
    assert columns["top-1"].values.tolist() == [0.0]


def test_hits_are_those_of_a_sort():
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(200, 9, generator=generator), torch.randint(9, (200,), generator=generator)
    for k in (1, 5):
        expected = [int(label in row.topk(k).indices) for row, label in zip(scores, labels, strict=True)]
        assert hits(scores, labels, k).tolist() == expected


def test_metrics_say_what_they_lack(build, pictures, reader):
    with pytest.raises(JudgeError, match="no evaluator"):
        AttackAccuracy().measure(build(fakes=pictures(np.eye(3), [0, 1, 2])))
    with pytest.raises(UnveilError, match="nothing was reconstructed"):
        AttackAccuracy().measure(build(train=pictures(np.eye(3), [0, 1, 2]), evaluator=reader(3)))
    with pytest.raises(UnveilError, match="1 of 2 pictures"):
        as_pictures(torch.tensor([[[[0.5]]], [[[float("nan")]]]]))


def test_pictures_have_256_levels():
    x = torch.tensor([-0.2, 0.0, 0.5, 1 / 255 * 0.6, 1.3]).view(1, 1, 1, -1)
    assert (as_pictures(x) * 255).flatten().round().tolist() == [0, 0, 128, 1, 255]


def test_knn_looks_at_train_pictures_of_the_same_person(build, pictures, reader):
    train = pictures([[0, 0, 0], [1, 0, 0], [0, 0, 0.2]], [0, 0, 1])
    fakes = pictures([[1, 0, 0.6], [0, 0, 0.2]], [0, 1])
    columns = by_column(KNNDistance().measure(build(fakes=fakes, train=train, evaluator=reader(3))))
    assert columns["nearest squared L2"].values == pytest.approx([0.36, 0], abs=1e-6)
    assert columns["nearest L2"].values == pytest.approx([0.6, 0], abs=1e-6)
    assert columns["nearest L2"].direction is Direction.PROTECTS


def test_knn_of_a_person_without_pictures_is_not_scored(build, pictures, reader):
    train, fakes = pictures(np.eye(3)[:1], [0]), pictures(np.eye(3)[:2], [0, 2])
    for m in KNNDistance().measure(build(fakes=fakes, train=train, evaluator=reader(3))):
        assert m.values is None
        assert "class 2" in m.reason


def test_utility(build, pictures):
    test = pictures([[0.9, 0, 0], [0.8, 0, 0], [0.7, 0, 0], [0, 0, 0.9]], [0, 0, 0, 1])
    columns = by_column(Utility().measure(build(test=test)))
    assert columns["top-1"].values.tolist() == [1, 1, 1, 0]
    assert columns["macro accuracy"].values.tolist() == [1, 0]
    assert (columns["macro accuracy"].samples, columns["top-5"].values) == (4, None)
    assert 0 < columns["1 - calibration error"].value < 1
    for m in columns.values():
        to_figure("utility", None, m)


def test_calibration_error_by_hand_and_its_jackknife():
    confidence, right, people = np.array([0.95, 0.95, 0.55, 1.0]), np.array([1.0, 0, 1, 1]), np.array([0, 0, 1, 1])
    # Ten bins. (0.9, 1]: three pictures, 2 right against 2.9; (0.5, 0.6]: one, right, against 0.55.
    error, spread = calibration_error(confidence, right, people, 10)
    assert error == pytest.approx((0.9 + 0.45) / 4)
    without = [abs(1 - 0.55) / 2, abs(1 - 1.9) / 2]
    assert spread == pytest.approx(np.sqrt(0.5 * np.sum((np.array(without) - np.mean(without)) ** 2)))
    assert calibration_error(confidence, right, np.zeros(4, int), 10)[1] is None


def test_images_are_left_as_they_were(build, pictures, reader):
    fakes = pictures([[0.1234, 0.3, 0.2]], [0])
    before = Images(fakes.pixels.clone(), fakes.labels.clone())
    AttackAccuracy().measure(build(fakes=fakes, evaluator=reader(3)))
    assert torch.equal(fakes.pixels, before.pixels)
