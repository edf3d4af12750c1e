"""Artefacts whose pictures are too many for memory."""

import pytest
import safetensors.torch
import torch

from unveil.harness.store import large
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.store.files import Files
from unveil.harness.words import pixels
from unveil.harness.words.errors import DamageError, StoreError
from unveil.harness.words.pixel_file import PixelFile
from unveil.harness.words.pixels import Chosen

LEVELS = torch.randint(0, 256, (700, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SMALL = {"labels": torch.arange(700), "anchors": LEVELS[:2] + 1, "half": torch.rand(3, 3).half()}
NAMES = ["a.pixels", "b.pixels"]


@pytest.fixture(params=["folder", "server"])
def store(request, tmp_path):
    return Store(str(tmp_path) if request.param == "folder" else f"memory://large-{tmp_path.name}")


@pytest.fixture
def kept(store):
    rows = torch.randperm(700, generator=torch.Generator().manual_seed(1))
    pictures = {"a.pixels": Chosen((LEVELS,), rows[:600]), "b.pixels": Chosen((LEVELS,), rows[600:])}
    store.save("k", Artefact({"x": 1}, SMALL, pictures=pictures))
    return {name: chosen[:] for name, chosen in pictures.items()}


def test_they_are_among_the_tensors_for_everybody_who_reads_them(store, kept):
    found = store.load("k").tensors
    assert set(found) == {*SMALL, *NAMES}
    assert all(torch.equal(found[name], tensor) for name, tensor in {**SMALL, **kept}.items())
    assert all(found[name].dtype == tensor.dtype for name, tensor in SMALL.items())


@pytest.mark.parametrize("held", [0, 2**20])
def test_they_stay_on_the_disk_where_they_are_too_many(store, kept, monkeypatch, held):
    monkeypatch.setattr(pixels, "HELD", held)
    found = store.open("k", NAMES)
    assert found.record == {"x": 1}
    assert set(found.pictures) == (set() if held else set(NAMES))
    assert all(isinstance(one, PixelFile) for one in found.pictures.values())
    everything = {**found.tensors, **found.pictures}
    assert all(torch.equal(everything[name][torch.arange(len(one))], one) for name, one in {**SMALL, **kept}.items())


def test_what_others_can_read_has_the_name_of_its_content(tmp_path):
    store = Store(str(tmp_path))
    store.save("k", Artefact({}, SMALL, pictures={"a.pixels": Chosen((LEVELS,))}))
    (blob,) = tmp_path.glob("blobs/*/*")
    assert torch.equal(safetensors.torch.load_file(blob)["a.pixels"], LEVELS)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_damage_is_found_before_a_picture_is_looked_at(tmp_path, monkeypatch, caplog, how):
    monkeypatch.setattr(pixels, "HELD", 0)
    store = Store(str(tmp_path))
    artefact = Artefact({}, SMALL, pictures={"a.pixels": Chosen((LEVELS,))})
    store.save("k", artefact)
    (blob,) = tmp_path.glob("blobs/*/*")
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.unlink() if how == "gone" else blob.write_bytes(data if how == "flipped" else data[:-1])
    with pytest.raises(DamageError, match="damaged or lost"):
        store.open("k", NAMES)
    assert not store.has("k")
    store.save("k", artefact)
    assert torch.equal(store.open("k", NAMES).pictures["a.pixels"][torch.tensor([699])], LEVELS[699:])


def test_what_is_taken_away_meanwhile_can_still_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "HELD", 0)
    store = Store(str(tmp_path))
    store.save("k", Artefact({}, SMALL, pictures={"a.pixels": Chosen((LEVELS,))}))
    found = store.open("k", NAMES).pictures["a.pixels"]
    (blob,) = tmp_path.glob("blobs/*/*")
    store.files.set_aside(blob.relative_to(tmp_path).as_posix(), "is in the way")
    assert torch.equal(found[torch.tensor([5, 6])], LEVELS[5:7])


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def parts():
        yield b"some"
        raise OSError(28, "No space left on device")

    files = Files(str(tmp_path / "store"))
    with pytest.raises(StoreError, match="no space left"):
        large.put(files, tmp_path / "scratch", parts(), lambda name: f"blobs/{name}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
