"""Decoding: whatever a file holds, square 8-bit pixels come out, or its name in an error."""

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.harness.data import parallel
from unveil.harness.data.images import decode
from unveil.harness.words import pixels
from unveil.harness.words.errors import DataError
from unveil.harness.words.pixel_file import PixelFile
from unveil.harness.words.run import Run


def read(*files, size=16, channels=3, crop=True):
    return decode(files, size=size, channels=channels, crop=crop, run=Run("test")).pixels


@pytest.fixture
def ramp():
    """Grey that grows from left to right, 16x16."""
    return np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))


def test_exif_rotation(tmp_path, ramp):
    # orientation 6: stored lying, to be turned a quarter clockwise; the left edge becomes the top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp).save(tmp_path / "a.png", exif=exif)
    turned = read(tmp_path / "a.png", channels=1)[0, 0]
    assert torch.equal(turned, torch.from_numpy(np.rot90(ramp, -1).copy()))


def test_16_bit_is_scaled_not_clipped(tmp_path, ramp):
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "a.png")
    Image.fromarray(ramp.astype(np.int32) * 257).save(tmp_path / "b.tif")
    for picture in read(tmp_path / "a.png", tmp_path / "b.tif", channels=1):
        assert torch.equal(picture[0], torch.from_numpy(ramp))


def test_modes(tmp_path, ramp):
    grey = Image.fromarray(ramp)
    grey.save(tmp_path / "grey.png")
    grey.convert("P").save(tmp_path / "palette.png")
    grey.convert("RGBA").save(tmp_path / "alpha.png")
    grey.convert("LA").save(tmp_path / "la.png")
    grey.convert("CMYK").save(tmp_path / "cmyk.tif")
    names = ["grey.png", "palette.png", "alpha.png", "la.png", "cmyk.tif"]
    pixels = read(*[tmp_path / name for name in names])
    assert pixels.shape == (5, 3, 16, 16)
    for picture in pixels:
        assert (picture.int() - torch.from_numpy(ramp).int()).abs().max() <= 1


def test_transparent_is_white(tmp_path):
    layer = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    layer.putpixel((0, 0), (0, 0, 0, 255))
    layer.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0, :, 1:].min() == 255


def test_crop_and_stretch(tmp_path):
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 200
    wide[:, 16] = 100
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", channels=1).unique().tolist() == [100, 200]
    assert 60 < read(tmp_path / "a.png", channels=1, crop=False).float().mean() < 73


def test_resize_is_antialiased(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    board[:4] = 255
    Image.fromarray(board).save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png", channels=1).int()
    assert (pixels[..., 3:, :] - 127).abs().max() <= 3


def test_order_is_kept(tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(40)]
    for i, file in enumerate(files):
        picture = Image.new("L", (64 + i, 128 - i), i)
        picture.paste(255, (32 + i // 2, 0, 64 + i, 128 - i))
        picture.save(file)
    assert read(*files, channels=1)[:, 0, 0, 0].tolist() == list(range(40))


def test_every_unreadable_file_is_named(tmp_path, ramp):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "good.jpg")
    whole = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tif")
    names = ["good.jpg", "cut.jpg", "text.jpg", "empty.png", "float.tif", "absent.png"]
    with pytest.raises(DataError, match="5 of 6 pictures cannot be read") as caught:
        read(*[tmp_path / name for name in names])
    text = str(caught.value)
    assert all(name in text for name in names[1:])
    assert "good.jpg" not in text


def test_only_ten_are_listed(tmp_path):
    with pytest.raises(DataError, match="and 5 more"):
        read(*[tmp_path / f"{i}.png" for i in range(15)])


def test_oversized_picture_is_an_error_that_names_it(tmp_path, monkeypatch, ramp):
    Image.fromarray(ramp).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(DataError, match=r"bomb\.png.*(?s:.*)at most 200 pixels"):
        read(tmp_path / "bomb.png")


def test_pictures_too_many_for_memory_go_to_a_file(tmp_path, monkeypatch):
    files = [tmp_path / f"{i}.png" for i in range(30)]
    for i, file in enumerate(files):
        noise = np.random.default_rng(i).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
    in_memory = read(*files)
    monkeypatch.setattr(pixels, "HELD", 0)
    monkeypatch.setattr(parallel, "GIVEN_OUT", 7)
    in_file = read(*files)
    assert isinstance(in_file, PixelFile)
    assert torch.equal(in_file[torch.arange(30)], in_memory)
