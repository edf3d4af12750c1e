"""Portraits: people whom MobileStyleGAN draws. The head is untrained here, but for the last test."""

import math

import pytest
import torch

from unveil.harness.assets import fetch as assets
from unveil.harness.data.portraits import LIGHT, LIVELY, Portraits, cropped, shaded
from unveil.harness.models import mobile_head_file
from unveil.harness.models.mobile_cut import MobileCut, load_cut
from unveil.harness.models.mobile_networks import Head
from unveil.harness.models.mobile_weights import ASSET
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.errors import AssetError
from unveil.harness.words.run import Run

RUN = Run("test")
SMALL = {"private": 4, "pictures": 6, "public": 3, "public_pictures": 2}
SHIPPED = mobile_head_file.HEADS


def needs_the_network():
    try:
        assets.path(ASSET)
    except AssetError as error:
        pytest.skip(f"asset {ASSET} cannot be had: {error.what}")


@pytest.fixture(scope="module", autouse=True)
def heads(tmp_path_factory):
    """A folder with one untrained head in place of those that are shipped."""
    folder = tmp_path_factory.mktemp("heads")
    with seeded(Run("head")):
        head = Head(512, (16, 8))
        for row in range(1, head.rows + 1):
            torch.nn.init.normal_(head[f"m{row}"].weight, 0, 0.1)  # untrained, styles would change next to nothing
    mobile_head_file.write(folder / "mobile_style_64_arcface.safetensors", head, "arcface", 64, {})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mobile_head_file, "HEADS", folder)
        yield folder


@pytest.fixture(scope="module")
def portraits():
    needs_the_network()
    return Portraits(**SMALL).load(RUN)


def test_portraits_shape(portraits):
    assert [len(getattr(portraits, part)) for part in ("train", "validation", "test", "public")] == [16, 4, 4, 6]
    assert portraits.train.shape == (3, 64, 64)
    assert portraits.names == ("person 000", "person 001", "person 002", "person 003")
    assert portraits.public.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert portraits.publishable
    assert portraits.disjoint.startswith("by construction")
    assert "non-commercial" in portraits.disjoint


def test_portraits_depend_on_the_settings_alone(portraits):
    assert Portraits(**SMALL).load(Run("another node")).checksum == portraits.checksum
    assert Portraits(**SMALL, seed=1).load(RUN).checksum != portraits.checksum


def test_portraits_stay_when_more_are_asked_for(portraits):
    more = Portraits(**SMALL | {"private": 5, "public": 4}).load(RUN)
    for part in ("train", "validation", "test", "public"):
        ours, theirs = getattr(portraits, part), getattr(more, part)
        old = theirs.labels < (3 if part == "public" else 4)
        # a picture's place in a batch may move its last bit
        assert (theirs.pixels[old] - ours.pixels).abs().max() <= 1 / 255 + 1e-6


def test_without_any_variation_a_person_is_their_anchor_in_other_light(portraits):
    still = {"spread": 0.0, "jitter": 0.0, "shade": 0.0, "exposure": 0.0, "noise": 0.0}
    network, data = load_cut("arcface", 64), Portraits(**SMALL, **still).load(RUN)
    hidden, shown = Portraits(**SMALL).anchors()
    assert (hidden.shape, shown.shape) == ((4, 512), (3, 512))
    w = network.map(hidden)
    assert (data.anchors - network(w).clamp(0, 1)).abs().max() < 0.6 / 255
    assert torch.equal(portraits.anchors, data.anchors)
    assert (data.train.pixels - data.anchors[data.train.labels]).abs().amax((1, 2, 3)).min() > 0.02


def test_styles_of_a_picture_are_the_persons_but_for_some_rows():
    a, e, m = (torch.randn(n, 10, 8, generator=torch.Generator().manual_seed(k)) for k, n in enumerate((2, 2, 1)))
    m = m[0, 0]
    w = Portraits(spread=0.6)._mixed(a, e, m)
    kept = [row for row in range(LIGHT) if row not in LIVELY]
    assert torch.equal(w[:, kept], a[:, kept])
    assert torch.equal(w[:, LIGHT:], e[:, LIGHT:])
    torch.testing.assert_close((w - m)[:, LIVELY], 0.8 * (a - m)[:, LIVELY] + 0.6 * (e - m)[:, LIVELY])


def test_a_crop_turns_scales_and_shifts():
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def crop(*by):
        return cropped(x, torch.tensor([by]))

    torch.testing.assert_close(crop(0.0, 0.0, 0.0, 0.0), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(crop(0.0, 0.0, 0.25, 0.0)[..., :-1], x[..., 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(crop(math.pi / 2, 0.0, 0.0, 0.0), x.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    wider = crop(0.0, 1.0, 0.0, 0.0)  # twice as much is seen, so the middle is half as large
    torch.testing.assert_close(wider[0, :, 3, 3], x[0, :, 2:4, 2:4].mean((1, 2)), atol=1e-5, rtol=0)


def test_light_comes_from_one_side():
    x = torch.full((2, 1, 5, 5), 0.5)
    lit = shaded(x, torch.tensor([0.0, math.pi / 2]), torch.tensor([0.2, 0.4]))
    torch.testing.assert_close(lit[0, 0, 0], torch.tensor([0.4, 0.45, 0.5, 0.55, 0.6]))
    torch.testing.assert_close(lit[1, 0, :, 0], torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7]))


def test_other_sizes_come_from_the_next_larger_head(heads, tmp_path, monkeypatch):
    needs_the_network()
    assert Portraits(**SMALL | {"size": 40}).load(RUN).public.shape == (3, 40, 40)
    assert load_cut("arcface", 200).size == 64
    monkeypatch.setattr(mobile_head_file, "HEADS", tmp_path)
    assert set(Portraits(**SMALL).content()) == {ASSET}
    with pytest.raises(AssetError, match="holds no head for arcface pictures"):
        Portraits(**SMALL).load(RUN)


def test_the_identity_names_network_and_head(heads):
    content = Portraits(**SMALL).content()
    assert content == {
        ASSET: assets.checksum(ASSET),
        "head": assets.sha256(heads / "mobile_style_64_arcface.safetensors"),
    }
    assert MobileCut("arcface", 64, (16, 8)).rows == 10


def test_pictures_of_a_person_are_nearest_to_each_other(monkeypatch):
    needs_the_network()
    monkeypatch.setattr(mobile_head_file, "HEADS", SHIPPED)
    if not mobile_head_file.shipped("arcface"):
        pytest.skip("the heads have been taken out of this package")
    data = Portraits(**SMALL | {"private": 6}).load(RUN)
    parts = (data.train, data.validation, data.test)
    # grey, small, and of one brightness and contrast: what light changes least
    x = torch.nn.functional.avg_pool2d(torch.cat([part.pixels for part in parts]).mean(1, keepdim=True), 4).flatten(1)
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    labels = torch.cat([part.labels for part in parts])
    apart, same = torch.cdist(x, x), labels[:, None] == labels[None, :]
    assert apart[same & (apart > 0)].mean() < 0.75 * apart[~same].mean()
