"""Features that metrics and cells share: computed once, cut alike, and gone with their classifier."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch

from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.types import Images
from unveil.harness.words.run import Run
from unveil.metrics import judging, shared_features
from unveil.metrics.diversity import Diversity
from unveil.metrics.knn_distance import KNNDistance
from unveil.metrics.memorisation_gap import MemorisationGap

METRICS = KNNDistance(), MemorisationGap(), Diversity()


@pytest.fixture
def judge():
    return SmallResNet().build(4, (3, 32, 32), Run("judge")).eval().requires_grad_(False)


@pytest.fixture
def seen(judge, monkeypatch):
    """Numbers of pictures in each forward pass."""
    counts, plain = [], judge.features
    monkeypatch.setattr(judge, "features", lambda x: counts.append(len(x)) or plain(x))
    return counts


def faces(each, seed, people=4):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (people * each, 3, 32, 32), generator=generator) / 255
    return Images(pixels, torch.arange(people).repeat(each))


@pytest.fixture
def cells(build, judge):
    train, test = faces(40, 0), faces(5, 1)
    return [build(fakes=faces(3, seed), train=train, test=test, evaluator=judge, people=4) for seed in (2, 3)]


def test_two_cells_and_three_metrics_look_at_private_pictures_once(cells, seen):
    found = [m.measure(cell)[0].values for cell in cells for m in METRICS]
    assert all(values is not None for values in found)
    assert sorted(seen) == sorted([128, 32] + [20] + 2 * [12])  # train, test, and each cell's own pictures


def test_no_number_depends_on_who_asked_first(cells):
    one, other = cells

    def measured(order, cell):
        shared_features._known.clear()
        return {type(m): [c.values.tolist() for c in m.measure(cell)] for m in order}

    expected = measured(METRICS, one)
    assert measured(METRICS[::-1], one) == expected
    shared_features._known.clear()
    fewer = replace(other, reconstructions=other.reconstructions[other.reconstructions.labels == 2])
    KNNDistance().measure(fewer)  # another cell, of other people, came before
    assert [c.values.tolist() for c in KNNDistance().measure(one)] == expected[KNNDistance]


def test_features_of_some_people_are_cut_out_of_the_whole_split(cells, judge):
    data, run = cells[0].data, Run("x")
    whole = judging.features(judge, data.train.pixels, run, "whole")
    found, labels = shared_features.of_private(judge, data, "train", np.array([3, 1]), run)
    mine = np.isin(data.train.labels.numpy(), [1, 3])
    np.testing.assert_array_equal(found, whole[mine])
    np.testing.assert_array_equal(labels, data.train.labels.numpy()[mine])
    assert shared_features.of_private(judge, data, "validation", np.array([0]), run)[0].shape == (0, 0)


def test_features_go_with_their_classifier(cells, judge):
    shared_features._known.clear()
    classifier = SmallResNet().build(4, (3, 32, 32), Run("other")).eval()
    shared_features.of_private(classifier, cells[0].data, "test", np.array([0]), Run("x"))
    assert len(shared_features._known) == 1
    del classifier
    gc.collect()
    assert not len(shared_features._known)


@pytest.mark.parametrize("change", ["in place", "loaded", "replaced"])
def test_changed_weights_are_seen(cells, judge, seen, change):
    def ask():
        return shared_features.of_private(judge, cells[0].data, "test", np.array([0, 1]), Run("x"))[0]

    before = ask()
    first = next(judge.parameters())
    if change == "in place":
        first.mul_(-1)
    elif change == "loaded":
        judge.load_state_dict({name: -t if t.ndim == 4 else t for name, t in judge.state_dict().items()})
    else:
        next(m for m in judge.modules() if isinstance(m, torch.nn.Conv2d)).weight = torch.nn.Parameter(-first)
    assert not np.array_equal(ask(), before)
    assert len(seen) == 2


def test_the_same_pictures_in_another_order_are_others(cells, judge):
    data, run = cells[0].data, Run("x")
    turned = replace(data, test=data.test[torch.arange(len(data.test) - 1, -1, -1)])  # and the same checksum
    for one in (data, turned):
        found, labels = shared_features.of_private(judge, one, "test", np.array([1]), run)
        own = one.test.labels == 1
        np.testing.assert_array_equal(labels, one.test.labels[own])
        np.testing.assert_allclose(found, judging.features(judge, one.test.pixels[own], run, "own"), atol=1e-5)
    data.test.pixels.mul_(0.5)
    assert not np.allclose(shared_features.of_private(judge, data, "test", np.array([1]), run)[0], found[::-1])


def test_few_are_kept_and_private_ones_longest(cells, judge, seen):
    data, run = cells[0].data, Run("x")
    for seed in range(2 * shared_features.KEPT):
        shared_features.of_pictures(judge, faces(1, seed).pixels, run)
        shared_features.of_private(judge, data, "train", np.array([0]), run)
    assert len(shared_features._known[judge]) == shared_features.KEPT
    assert len(seen) == 2 * shared_features.KEPT + 2  # train is two batches, once
