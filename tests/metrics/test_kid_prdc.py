"""KID against torchmetrics and PRDC against prdc, on the same features; errors and edges by repetition and by hand."""

import numpy as np
import prdc as reference
import pytest
import torch

from unveil.harness.assets import torchvision_ops
from unveil.harness.figures.intervals import to_figure
from unveil.harness.types import Direction, Images
from unveil.harness.words.memo import Memo
from unveil.metrics import image_features
from unveil.metrics.kid import KID, kernel, kernel_distance
from unveil.metrics.prdc import PRDC, compare

torchvision_ops.ensure()
kid_reference = pytest.importorskip("torchmetrics.image.kid")


def sets(n=90, m=70, d=24, shift=0.3, people=7, seed=0, spread=0.7):
    rng = np.random.default_rng(seed)
    who, whose = np.arange(n) % people, np.arange(m) % people
    own = rng.normal(0, spread, (2, people, d))  # so that a person's pictures hang together
    x, y = rng.normal(shift, 1, (n, d)) + own[0][who], rng.normal(0, 1, (m, d)) + own[0][whose]
    return x, who, y, whose


@pytest.fixture
def thumbnails(monkeypatch):
    """Stands in for the network: a picture's features are its pixels, shrunk."""
    monkeypatch.setattr(image_features, "_known", Memo(image_features.KEPT))
    monkeypatch.setattr(image_features.assets, "path_if_present", lambda name: None)
    monkeypatch.setattr(
        image_features, "_network", lambda name, run: lambda x: torch.nn.functional.avg_pool2d(x, 4).flatten(1)
    )


def faces(people, each, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(people * each, 3, 8, 8, generator=generator) * 0.5 + shift
    return Images(pixels, torch.arange(people).repeat_interleave(each))


@pytest.mark.parametrize("rows", [1024, 16])
def test_kid_is_torchmetrics(monkeypatch, rows):
    monkeypatch.setattr("unveil.metrics.kid.ROWS", rows)
    x, who, y, whose = sets(70, 70)
    value, error = kernel_distance(x, who, y, whose)
    expected = kid_reference.poly_mmd(torch.tensor(y), torch.tensor(x))
    assert value == pytest.approx(float(expected), rel=1e-10)
    replicates = [  # leaving out one person, the slow way
        float(kid_reference.poly_mmd(torch.tensor(y[whose != person]), torch.tensor(x[who != person])))
        for person in range(7)
    ]
    spread = np.sqrt(6 / 7 * np.sum((np.array(replicates) - np.mean(replicates)) ** 2))
    assert error == pytest.approx(spread, rel=1e-8)


def test_kid_of_unequal_numbers_by_loops():
    x, who, y, whose = sets(9, 6, 5, people=3)
    k = kernel(np.concatenate([x, y]), np.concatenate([x, y]))
    own = np.mean([k[i, j] for i in range(9) for j in range(9) if i != j])
    other = np.mean([k[i, j] for i in range(9, 15) for j in range(9, 15) if i != j])
    assert kernel_distance(x, who, y, whose)[0] == pytest.approx(own + other - 2 * k[:9, 9:].mean())


def test_kid_is_unbiased():
    values = np.array([kernel_distance(*sets(40, 40, 6, 0, 20, seed, 0))[0] for seed in range(200)])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200)
    assert (values < 0).any()


def test_the_error_is_that_of_repetitions():
    values, errors = np.array([kernel_distance(*sets(60, 60, 6, 0.5, 20, seed)) for seed in range(200)]).T
    assert 0.8 < errors.mean() / values.std() < 1.25


def test_kid_of_one_person_has_no_error():
    x, who, y, whose = sets(people=1)
    assert kernel_distance(x, who, y, whose)[1] is None


def test_kid_scores_equal_numbers_or_says_why_not(build, thumbnails):
    train, fakes = faces(6, 30, 0), faces(4, 20, 1, 0.2)
    (m,) = KID().measure(build(fakes=fakes, train=train, people=6))
    assert (m.column, m.samples, m.direction) == ("KID (EfficientNet-Lite0)", 80, Direction.PROTECTS)
    assert 0 < m.standard_error < m.value
    to_figure("kid", None, m)
    (m,) = KID().measure(build(fakes=faces(4, 12, 1), train=train, people=6))
    assert "48 pictures in each set, fewer than the minimum of 50" in m.reason
    (m,) = KID(extractor="inception").measure(build(fakes=fakes, train=train, people=6))
    assert (m.column, m.value) == ("KID (Inception)", None)
    assert "pt_inception" in m.reason
    assert KID().content() == {"extractor": KID(extractor="efficientnet_lite0").content()["extractor"]}


@pytest.mark.parametrize(("k", "rows"), [(3, 1024), (2, 16)])
def test_prdc_is_prdcs(monkeypatch, k, rows):
    monkeypatch.setattr("unveil.metrics.prdc.ROWS", rows)
    x, _, y, _ = sets(d=4)
    expected = reference.compute_prdc(y, x, k)
    found = compare(x, y, k)
    assert (found.inside > 0).mean() == pytest.approx(expected["precision"])
    assert found.recalled.mean() == pytest.approx(expected["recall"])
    assert (found.inside / k).mean() == pytest.approx(expected["density"])
    assert found.covered.mean() == pytest.approx(expected["coverage"])
    assert all(0.05 < expected[name] < 0.95 for name in ("precision", "recall", "coverage"))


def test_prdc_by_hand():
    y, x = np.array([[0.0], [1], [3], [10]]), np.array([[0.5], [5.5], [6.0]])
    # k = 1: the balls about y reach 1, 1, 2 and 7; those about x 5, 0.5 and 0.5.
    found = compare(x, y, 1)
    assert found.inside.tolist() == [2, 1, 1]
    assert found.recalled.tolist() == [True, True, True, False]
    assert found.covered.tolist() == [True, True, False, True]


def test_the_same_picture_again_and_again_reaches_nothing():
    y = sets(d=8)[2]
    x = np.repeat(y[:2], 5, axis=0) * (1 + 1e-7)  # as float32 networks answer in another batch
    found = compare(x, y, 3)
    assert not found.recalled.any()
    assert (found.inside > 0).all()


def test_copies_of_all_private_pictures_score_all():
    y = sets()[2]
    found = compare(y, y, 3)
    assert found.recalled.all()
    assert found.covered.all()
    np.testing.assert_array_equal(found.inside, compare(y[::-1], y, 3).inside[::-1])


def test_prdc_says_whose_each_value_is_or_why_there_is_none(build, thumbnails):
    evidence = build(fakes=faces(4, 20, 1, 0.02), train=faces(6, 30, 0), people=6)
    found = PRDC().measure(evidence)
    clouds = image_features.clouds("auto", 50, None, evidence)
    expected = reference.compute_prdc(clouds.y, clouds.x, 3)
    assert [m.column for m in found] == [f"{name} (EfficientNet-Lite0)" for name in expected]
    for m, (name, value) in zip(found, expected.items(), strict=True):
        assert (m.samples, m.direction) == (80, Direction.LEAKS)
        assert m.identities.tolist() == np.repeat(np.arange(4), 20).tolist()
        assert to_figure("prdc", None, m).value == pytest.approx(value), name
    few = PRDC(k=60).measure(build(fakes=faces(4, 13, 1), train=faces(6, 30, 0), people=6))
    assert len(few) == 4
    assert all("fewer than the minimum of 61" in m.reason for m in few)
    assert all(m.counted for m in found)


@pytest.mark.parametrize("pictures", [40, 60])
def test_only_kid_may_be_compared_over_unequal_numbers(build, thumbnails, pictures):
    evidence = build(fakes=faces(4, 20, 1, 0.2), train=faces(6, 30, 0), people=6)
    (m,) = KID(minimum=40, pictures=pictures).measure(evidence)
    assert (m.samples, m.counted) == (pictures, False)
