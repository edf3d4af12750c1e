import numpy as np
import pytest
import torch

from unveil.harness.assets import fetch as assets
from unveil.harness.figures.intervals import to_figure
from unveil.harness.types import Images
from unveil.harness.words.errors import AssetError, WeightsError
from unveil.harness.words.memo import Memo
from unveil.harness.words.run import Run
from unveil.metrics import image_features
from unveil.metrics.fid import FID
from unveil.metrics.frechet import frechet_distance
from unveil.metrics.judging import as_pictures
from unveil.metrics.kid import KID
from unveil.metrics.prdc import PRDC


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(image_features, "_known", Memo(image_features.KEPT))


@pytest.fixture
def mean_colours(monkeypatch):
    """Stands in for the network: a picture's features are its channel means and deviations."""
    calls = []

    def features(x):
        calls.append(len(x))
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)

    monkeypatch.setattr(image_features, "_network", lambda name, run: features)
    monkeypatch.setattr(image_features.assets, "path_if_present", lambda name: None)
    return calls


def faces(people, each, seed, shift=0.0, channels=3):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(people * each, channels, 8, 8, generator=generator) * 0.5 + shift
    return Images(pixels, torch.arange(people).repeat_interleave(each))


def test_scores_equal_numbers_of_the_attacked_people(build, mean_colours):
    train, fakes = faces(6, 30, 0), faces(4, 20, 1, 0.2)
    (m,) = FID().measure(build(fakes=fakes, train=train, people=6))
    assert (m.column, m.samples) == ("FID (EfficientNet-Lite0)", 80)
    assert np.unique(m.identities, return_counts=True)[1].tolist() == [20] * 4
    assert m.value > 0.1
    assert 0 < m.standard_error < m.value
    assert sum(mean_colours) == 160


def test_equal_pictures_are_at_zero(build, mean_colours):
    train = faces(4, 20, 0)
    (m,) = FID().measure(build(fakes=train, train=train, people=4))
    assert m.value == pytest.approx(0, abs=1e-9)


def test_private_features_are_computed_once_and_few_are_kept(build, mean_colours):
    train = faces(4, 20, 0)
    for seed in (1, 2):
        FID().measure(build(fakes=faces(4, 20, seed), train=train, people=4))
    assert sum(mean_colours) == 3 * 80
    for each in range(13, 20):
        FID().measure(build(fakes=faces(4, each, 3), train=train, people=4))
    assert len(image_features._known) == image_features.KEPT


def test_thinning_is_even_and_the_same_every_time():
    labels = torch.tensor([0] * 10 + [1] * 3 + [2] * 10)
    chosen = image_features._thinned(labels, 12, Run("x"), "reals")
    assert labels[chosen].bincount().tolist()[1] == 3
    assert sorted(labels[chosen].bincount().tolist()) == [3, 4, 5]
    assert torch.equal(chosen, image_features._thinned(labels, 12, Run("x"), "reals"))


def test_too_few_are_not_scored(build, mean_colours):
    (m,) = FID().measure(build(fakes=faces(4, 12, 1), train=faces(4, 20, 0), people=4))
    assert m.value is None
    assert "48 pictures in each set, fewer than the minimum of 50" in m.reason
    (m,) = FID(minimum=40).measure(build(fakes=faces(4, 12, 1), train=faces(4, 20, 0), people=4))
    assert m.value is not None


def test_a_stated_number_of_pictures_is_taken_from_all(build, mean_colours):
    train = faces(4, 20, 0)
    found = [
        FID(pictures=60).measure(build(fakes=faces(4, each, 1, 0.2), train=train, people=4))[0] for each in (20, 15, 14)
    ]
    assert [m.samples for m in found] == [60, 60, 0]
    assert all(m.counted for m in found)
    assert "56 pictures in each set, fewer than the 60 that were asked for" in found[2].reason
    for m in found:
        to_figure("fid", None, m)


def test_metrics_of_a_cell_share_its_features(build, mean_colours):
    train, cell_numbers = faces(4, 20, 0), (1, 2)
    for seed in cell_numbers:
        evidence = build(fakes=faces(4, 20, seed), train=train, people=4)
        for metric in (FID(), KID(), PRDC()):
            metric.measure(evidence)
    assert sum(mean_colours) == 3 * 80


def test_missing_inception_is_not_scored_and_auto_says_what_it_took(build, monkeypatch):
    monkeypatch.setattr(image_features.assets, "path_if_present", lambda name: None)
    (m,) = FID(extractor="inception").measure(build(fakes=faces(4, 20, 1), train=faces(4, 20, 0), people=4))
    assert (m.column, m.value) == ("FID (Inception)", None)
    assert "pt_inception-2015-12-05" in m.reason
    absent = FID(extractor="inception").content()
    auto = FID().content()
    monkeypatch.setattr(image_features.assets, "path_if_present", lambda name: "there")
    assert FID(extractor="inception").content() != absent
    assert FID().content() == FID(extractor="inception").content() != auto


def test_a_file_that_is_not_inception_is_an_error(build, monkeypatch, tmp_path):
    torch.save({}, tmp_path / "weights.pth")
    monkeypatch.setattr(image_features.assets, "path_if_present", lambda name: tmp_path / "weights.pth")
    monkeypatch.setattr(image_features.assets, "path", lambda name: tmp_path / "weights.pth")
    with pytest.raises(WeightsError):
        FID().measure(build(fakes=faces(4, 20, 1), train=faces(4, 20, 0), people=4))


@pytest.mark.parametrize("channels", [1, 3])
def test_lite0_features(build, channels):
    try:
        assets.path("efficientnet-lite0")
    except AssetError as error:
        pytest.skip(str(error))
    fakes, train = faces(4, 5, 1, 0.3, channels), faces(4, 5, 0, channels=channels)
    (m,) = FID(extractor="efficientnet_lite0", minimum=10).measure(build(fakes=fakes, train=train, people=4))
    assert m.column == "FID (EfficientNet-Lite0)"
    assert m.value > 0
    network = image_features._network("efficientnet_lite0", Run("other"))
    with torch.no_grad():
        x, y = (network(as_pictures(i.pixels).expand(-1, 3, -1, -1)).double().numpy() for i in (fakes, train))
    assert x.shape == (20, 1280)
    assert m.value == pytest.approx(frechet_distance(x, y), rel=1e-4)
