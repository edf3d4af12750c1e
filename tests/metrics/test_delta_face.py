"""delta_face by hand on an embedder that reads the embedding off the pixels, and with FaceNet's file in the cache."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from unveil.harness.conformance import check
from unveil.harness.figures.intervals import to_figure
from unveil.harness.models.dlib_resnet import DlibResNet
from unveil.harness.models.facenet import FaceNet
from unveil.harness.models.mobilefacenet import MobileFaceNet
from unveil.harness.plan import settings
from unveil.harness.types import Direction, Images
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AssetError, WeightsError
from unveil.harness.words.memo import Memo
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.metrics import delta_face
from unveil.metrics.delta_face import DeltaFace

READS = "x.mean((1, 2)) - 0.5"  # the toy embedder's features of pixels


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(delta_face, "_private", Memo(4))


@pytest.fixture
def nobody():
    """A target with weights of its own, which the toy has none of."""
    return Classifier({"body": nn.BatchNorm2d(3)}, nn.Identity(), classes=3)


def test_two_vectors_by_hand(build, pictures, toy, nobody, measured):
    """(+, +) beside (+, -) is at right angles; the nearer picture is of the other person and does not count."""
    train = pictures([[1.0, 0.0], [1.0, 1.0]], [0, 1])
    fakes = pictures([[1.0, 1.0], [0.0, 0.0]], [0, 1])
    (m,) = measured(DeltaFace(toy), build(fakes=fakes, train=train, target=nobody))
    assert m.values == pytest.approx([2.0, 4.0])
    assert (m.column, m.high, m.direction) == ("nearest squared L2 (Toy)", 4.0, Direction.PROTECTS)


def test_it_is_what_scipy_says(build, some, toy, nobody, measured):
    train, fakes = some([6, 3, 4, 9], 0), some([2, 2, 2], 1)
    (m,) = measured(DeltaFace(toy), build(fakes=fakes, train=train, people=4, target=nobody))

    def unit(images):
        x = images.pixels[:, 0, 0, :].double().numpy() - 0.5
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    pairs = cdist(unit(fakes), unit(train), "sqeuclidean")
    pairs[fakes.labels.numpy()[:, None] != train.labels.numpy()] = np.inf
    np.testing.assert_allclose(m.values, pairs.min(1), rtol=1e-5, atol=1e-6)
    assert (m.identities.tolist(), m.samples) == ([0, 0, 1, 1, 2, 2], 6)
    to_figure("delta_face", None, m)
    (copies,) = measured(DeltaFace(toy), build(fakes=train, train=train, people=4, target=nobody))
    assert copies.values == pytest.approx(np.zeros(4), abs=1e-9)
    assert copies.identities.tolist() == [0, 1, 2, 3]


def test_it_says_what_it_lacks(build, some, toy, cache, measured):
    evidence = build(fakes=some([1, 1], 0), train=some([2], 1))
    (m,) = measured(DeltaFace(toy), evidence)
    assert m.reason == "no private training picture of class 1"
    with pytest.raises(AssetError, match="asset 'facenet' is not there") as error:
        measured(DeltaFace(), evidence)
    assert "download 20180402-114759-vggface2.pt" in error.value.todo
    with pytest.raises(AssetError, match="small_resnet has no trained weights"):
        measured(DeltaFace(Spec("small_resnet")), evidence)
    with pytest.raises(AssetError, match="cannot be had"):
        measured(DeltaFace(Spec("mobilefacenet"), weights="gone.pth"), evidence)


@pytest.mark.slow
def test_facenet_is_loaded_from_the_cache(build, some, cache, measured):
    faces = Images(torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 0, 1]))
    network = FaceNet().build(3, (3, 32, 32), Run("by chance")).eval()
    torch.save(network.stages.state_dict(), cache)
    evidence = build(fakes=faces[3:], train=faces[:3])
    (m,) = measured(DeltaFace(), evidence)
    with torch.no_grad():
        x = torch.nn.functional.normalize(network.features((faces.pixels * 255).round() / 255)).double().numpy()
    d = cdist(x, x, "sqeuclidean")
    assert m.values == pytest.approx([min(d[3, 0], d[3, 1]), d[4, 2]], rel=1e-4, abs=1e-6)
    assert m.column == "nearest squared L2 (facenet)"
    cache.write_bytes(b"something else")
    with pytest.raises(WeightsError):
        measured(DeltaFace(), evidence)


@pytest.mark.parametrize(("use", "weights"), [("mobilefacenet", "net.pt"), ("dlib_resnet", None)])
def test_other_embedders_measure_it_too(build, measured, tmp_path, use, weights):
    """dlib's where it is installed. A picture beside itself, and beside another one of the person."""
    faces = Images(torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1]))
    faces = Images((faces.pixels * 255).round() / 255, faces.labels)
    if weights is None:
        try:
            network = DlibResNet().build(2, (3, 112, 112), Run("x")).eval()
        except AssetError as error:
            pytest.skip(error.what)
    else:
        network = MobileFaceNet().build(2, (3, 112, 112), Run("by chance")).eval()
        torch.save(network.stages.state_dict(), tmp_path / weights)
        weights = str(tmp_path / weights)
    fakes = faces[torch.tensor([1, 2])]
    (m,) = measured(DeltaFace(Spec(use), weights=weights), build(fakes=fakes, train=faces[torch.tensor([0, 2])]))
    with torch.no_grad():
        x = torch.nn.functional.normalize(network.features(faces.pixels)).double().numpy()
    assert m.values == pytest.approx([((x[0] - x[1]) ** 2).sum(), 0], rel=1e-3, abs=1e-6)
    assert m.column == f"nearest squared L2 ({use})"


def test_it_conforms_when_it_scores(toy, tmp_path):
    report = check("delta_face", "metrics", {"embedder": {"use": toy.use}}, tmp_path)
    assert report.ok, str(report)
    assert not [finding for finding in report.findings if finding.ok is None], str(report)
    for value in ("toy.py:Toy", {"use": "toy.py:Toy"}):
        made = settings.make("metrics", Spec("delta_face", {"embedder": value}), tmp_path)
        assert made == DeltaFace(toy)
    assert str(tmp_path) not in str(settings.question(Spec("delta_face"), made))
