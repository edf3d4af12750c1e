"""SSIM and PSNR against torchmetrics, LPIPS against the lpips package with the same (random) backbone."""

import warnings

import numpy as np
import pytest
import torch

from unveil.harness.assets import torchvision_ops
from unveil.harness.figures.intervals import to_figure
from unveil.harness.types import Direction, Images
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.pixels import brought_to, to_uint8
from unveil.metrics import nearest_private
from unveil.metrics.judging import as_pictures
from unveil.metrics.nearest_private import PSNR_MOST, NearestPrivate, psnr, ssim
from unveil.metrics.perceptual import LPIPS

torchvision_ops.ensure()
models = pytest.importorskip("torchvision.models")
lpips = pytest.importorskip("lpips")
reference = pytest.importorskip("torchmetrics.functional.image")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """AlexNet's shapes with small random weights."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in models.alexnet().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    # the classifier is of no use but has to fit
    state = {
        name: torch.randn(shape, generator=generator) * 0.05
        if "features" in name
        else torch.zeros(shape, dtype=torch.half)
        for name, shape in shapes.items()
    }
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def placed(backbone, monkeypatch):
    monkeypatch.setattr(nearest_private.assets, "path_if_present", lambda name: backbone)
    monkeypatch.setattr(nearest_private.assets, "path", lambda name: backbone)


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(nearest_private.assets, "path_if_present", lambda name: None)


def some(people, each, seed, side=32, channels=3):
    """Smooth pictures, so that there is structure to be alike in."""
    x = torch.rand(people * each, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    pixels = torch.nn.functional.interpolate(x, (side, side), mode="bicubic").clamp(0, 1)
    return Images(as_pictures(pixels), torch.arange(people).repeat_interleave(each))


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_and_psnr_are_torchmetrics(channels):
    a, b = (some(4, 2, seed, 20, channels).pixels.double() for seed in (0, 1))
    b[0] = a[0] + 0.01
    # torchmetrics counts the reflected border, the paper does not
    _, full = reference.structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    torch.testing.assert_close(ssim(a, b), full[..., 5:-5, 5:-5].mean((1, 2, 3)), rtol=1e-6, atol=1e-8)
    expected = reference.peak_signal_noise_ratio(a, b, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(a, b), expected, rtol=1e-6, atol=1e-8)
    assert psnr(a, a).tolist() == pytest.approx([PSNR_MOST] * 8)


@pytest.mark.parametrize("side", [31, 48])
def test_lpips_is_the_packages(backbone, side):
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # it calls torchvision in an old way
        theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = torch.load(backbone, weights_only=True)
    for name, parameter in theirs.net.named_parameters():
        parameter.data.copy_(state[f"features.{name.split('.', 1)[1]}"])
    a, b = some(3, 2, 0, side).pixels, some(3, 2, 1, side).pixels
    with torch.no_grad():
        expected = theirs(a, b, normalize=True).flatten()
        ours = LPIPS(backbone)
        found = (ours(a) - ours(b)).double().square().sum(1)
    assert expected.min() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_each_measure_takes_its_own_nearest_of_the_same_person(build, placed):
    train, fakes = some(3, 4, 0), some(2, 3, 1)
    found = {m.column: m for m in NearestPrivate().measure(build(fakes=fakes, train=train))}
    assert list(found) == ["SSIM", "PSNR", "LPIPS (AlexNet)"]
    for i in range(6):
        x = fakes.pixels[i : i + 1].double()
        pairs = [(x, y[None].double()) for y in train.pixels[train.labels == fakes.labels[i]]]
        assert found["SSIM"].values[i] == pytest.approx(max(float(ssim(*p)) for p in pairs), rel=1e-9)
        assert found["PSNR"].values[i] == pytest.approx(max(float(psnr(*p)) for p in pairs), rel=1e-9)
    assert [m.direction for m in found.values()] == [Direction.LEAKS, Direction.LEAKS, Direction.PROTECTS]
    for m in found.values():
        assert m.identities.tolist() == [0, 0, 0, 1, 1, 1]
        to_figure("nearest_private", None, m)


def test_a_copy_is_as_near_as_can_be(build, placed):
    train = some(2, 3, 0, channels=1)
    ssims, psnrs, distances = NearestPrivate().measure(build(fakes=train, train=train, people=2))
    assert ssims.values == pytest.approx(np.ones(6))
    assert psnrs.values == pytest.approx(np.full(6, 58.92), abs=0.01)
    assert distances.values == pytest.approx(np.zeros(6), abs=1e-6)


def test_lpips_without_weights_is_not_scored(build, absent):
    train, fakes = some(2, 3, 0), some(2, 2, 1)
    ssims, psnrs, distances = NearestPrivate().measure(build(fakes=fakes, train=train, people=2))
    assert distances.values is None
    assert "no AlexNet weights: download alexnet-owt-7be5be79.pth" in distances.reason
    assert len(ssims.values) == len(psnrs.values) == 4
    assert NearestPrivate().content() == {"lpips": "alexnet absent"}


def test_weights_are_part_of_the_question(placed):
    assert NearestPrivate().content() == {"lpips": "alexnet 7be5be79"}


def test_broken_weights_are_an_error(tmp_path):
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="AlexNet"):
        LPIPS(tmp_path / "weights.pth")


def test_private_pictures_are_brought_to_the_size_of_the_reconstructions(build, placed):
    train = some(2, 3, 0)
    small = Images(to_uint8(brought_to(train.pixels, (16, 16))), train.labels)
    _, psnrs, _ = NearestPrivate().measure(build(fakes=small, train=train, people=2))
    assert (psnrs.values >= PSNR_MOST - 1e-9).all()


def test_what_cannot_be_compared_is_not_scored(build, placed):
    train, fakes = some(2, 3, 0), some(2, 2, 1)
    other = Images(fakes.pixels[:, :1], fakes.labels)
    for m in NearestPrivate().measure(build(fakes=other, train=train, people=2)):
        assert "shape (1, 32, 32)" in m.reason
    for m in NearestPrivate().measure(build(fakes=fakes, train=train[train.labels == 0], people=2)):
        assert "class 1" in m.reason
    tiny = [Images(images.pixels[..., :10, :10], images.labels) for images in (fakes, train)]
    ssims, psnrs, distances = NearestPrivate().measure(build(fakes=tiny[0], train=tiny[1], people=2))
    assert "needs 11" in ssims.reason
    assert "needs 31" in distances.reason
    assert psnrs.values is not None
