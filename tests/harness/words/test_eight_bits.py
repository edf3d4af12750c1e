"""Pictures that are kept in 8 bits: the same numbers as if all were float32, made of those that are asked for."""

import copy
import dataclasses

import pytest
import torch

from unveil.harness.steps.people import join
from unveil.harness.types import Images
from unveil.harness.words import pixels
from unveil.harness.words.disk import Handle
from unveil.harness.words.errors import DamageError
from unveil.harness.words.pixel_file import PixelFile, Room, exactly


def eight_bit(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 4, 5), dtype=torch.uint8, generator=generator)


def in_file(levels: torch.Tensor, folder) -> PixelFile:
    path = folder / "pictures"
    path.write_bytes(b"head" + levels.numpy().tobytes())
    return PixelFile(Handle(path.open("rb")), levels.shape, 4)


@pytest.fixture(params=["memory", "file"])
def kept(request, tmp_path):
    levels = eight_bit(20)
    return levels, in_file(levels, tmp_path) if request.param == "file" else levels


CHOICES = [
    slice(3, 9), slice(None, None, 3), torch.tensor([7, 7, 1, 19, 2, 3, 4]), torch.arange(20) % 3 == 1, slice(0, 0),
    torch.tensor([-1, 0]),
]  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_what_is_chosen_is_what_a_tensor_would_give(kept, choice):
    levels, source = kept
    images, wanted = Images(source, torch.arange(20)), levels.float() / 255
    assert torch.equal(images.at(choice), wanted[choice])
    assert torch.equal(images[choice].labels, torch.arange(20)[choice])
    assert torch.equal(images[choice].pixels, wanted[choice])
    assert torch.equal(images[choice].levels(slice(None)), levels[choice])
    assert torch.equal(images[5:][1:9].at(slice(2, 4)), wanted[8:10])
    assert torch.equal(torch.cat(list(images.batches(6))), wanted)


def test_a_choice_a_join_and_other_labels_copy_nothing(kept):
    _, source = kept
    images = Images(source, torch.arange(20))
    other = images.labelled(torch.arange(20) + 1)
    both = join(images[::2], other[torch.tensor([3, 1])], images)
    assert all(part is source for part in both.stored.parts)
    assert torch.equal(both.at(slice(9, 13)), images.at(torch.tensor([18, 3, 1, 0])))
    assert both.labels[9:13].tolist() == [18, 4, 2, 0]


def test_eight_bits_and_floats_may_be_joined(kept):
    _, source = kept
    floats = Images(torch.rand(4, 3, 4, 5, generator=torch.Generator().manual_seed(1)), torch.arange(4))
    both = join(Images(source, torch.arange(20)), floats[1:])
    assert torch.equal(
        both.at(torch.tensor([22, 0, 20])), torch.stack([floats.pixels[3], both.pixels[0], floats.pixels[1]])
    )
    assert both.levels(slice(0, 2)).dtype == torch.uint8


def test_plugins_that_know_pixels_only_go_on_working(kept):
    levels, _ = kept
    images = Images(levels, torch.arange(20))
    assert images.pixels is images.pixels
    assert torch.equal(dataclasses.replace(images, labels=torch.zeros(20)).pixels, images.pixels)
    assert torch.equal(dataclasses.replace(images, pixels=images.pixels / 2).pixels, levels.float() / 255 / 2)
    assert torch.equal(copy.deepcopy(images).at(slice(None)), images.pixels)
    with pytest.raises(dataclasses.FrozenInstanceError):
        images.pixels = images.pixels


def test_what_is_written_to_pictures_that_were_read_never_reaches_the_file(tmp_path):
    levels = eight_bit(3)
    images = Images(in_file(levels, tmp_path), torch.arange(3))
    images.at(slice(None)).zero_()
    images.levels(slice(None)).zero_()
    assert torch.equal(images.levels(slice(None)), levels)


def test_a_file_may_be_deleted_while_it_is_read_and_one_that_is_cut_short_is_an_error(tmp_path):
    levels = eight_bit(6)
    images = Images(in_file(levels, tmp_path), torch.arange(6))
    with (tmp_path / "pictures").open("r+b") as file:
        file.truncate(4 + 4 * 60)
    assert torch.equal(images.at(slice(0, 4)), levels[:4].float() / 255)
    with pytest.raises(DamageError, match="ends before picture 6"):
        images.at(torch.tensor([0, 5]))
    (tmp_path / "pictures").unlink()
    assert torch.equal(images.at(slice(0, 4)), levels[:4].float() / 255)


@pytest.mark.parametrize("held", [0, 4 * 3 * 4 * 5 * 5 - 1, 4 * 3 * 4 * 5 * 5])
def test_what_must_stay_as_it_is_does_so_in_a_file_too(tmp_path, monkeypatch, held):
    monkeypatch.setattr(pixels, "HELD", held)
    whole = torch.rand(5, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    kept = exactly(whole.split(2), whole.shape, tmp_path / "scratch")
    assert isinstance(kept, PixelFile) == (held < whole.nbytes)
    assert (kept.dtype, len(kept)) == (torch.float32, 5)
    rows = torch.tensor([4, 0, 1, 2])
    assert torch.equal(kept[rows], whole[rows])
    assert torch.equal(Images(kept, torch.zeros(5))[1:].at(slice(1, 3)), whole[2:4])


@pytest.mark.parametrize("held", [0, 2**20])
def test_gathered_in_memory_or_in_a_file_that_nobody_sees(tmp_path, monkeypatch, held):
    monkeypatch.setattr(pixels, "HELD", held)
    levels, room = eight_bit(5), Room((5, 3, 4, 5), tmp_path / "scratch")
    room.put(3, levels[3:])
    room.put(0, levels[:3])
    filled = room.filled()
    assert isinstance(filled, PixelFile) == (held == 0)
    assert torch.equal(filled[torch.arange(5)], levels)
    assert not list(tmp_path.glob("scratch/*"))
