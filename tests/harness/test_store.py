"""Artefacts exist whole or not at all, and damage is found."""

import errno

import pytest
import torch

from unveil.harness.errors import StoreError
from unveil.harness.store import Artefact, Store

KEY = "ab" * 32


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}")


def artefact():
    tensors = {"x": torch.arange(6.0).view(2, 3), "n": torch.tensor([1, -1]), "u": torch.tensor([7], dtype=torch.uint8)}
    return Artefact({"a": [1, 2.5, None]}, tensors, {"grid.png": b"\x89PNG"}, {"seconds": 1.5})


def test_round_trip(store):
    assert not store.has(KEY)
    store.save(KEY, artefact())
    back = store.load(KEY)
    assert store.has(KEY)
    assert back.record == {"a": [1, 2.5, None]}
    assert back.provenance == {"seconds": 1.5}
    assert back.files == {"grid.png": b"\x89PNG"}
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in artefact().tensors.items())
    assert store.record(KEY) == {"a": [1, 2.5, None]}


def test_missing_is_an_error(store):
    with pytest.raises(StoreError, match="missing or damaged"):
        store.load(KEY)


def test_damage_is_found_and_taken_out(tmp_path):
    store = Store(str(tmp_path))
    store.save(KEY, artefact())
    blob = max(
        (path for path in (tmp_path / "blobs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    blob.write_bytes(b"\0" + blob.read_bytes()[1:])
    with pytest.raises(StoreError, match="is damaged"):
        store.load(KEY)
    assert not store.has(KEY)
    store.save(KEY, artefact())  # can be computed again
    assert store.load(KEY).files


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    store.save(KEY, artefact())

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = store.fs.open
    monkeypatch.setattr(store.fs, "open", lambda path, mode="rb", **more: Full() if "w" in mode else opened(path, mode))
    with pytest.raises(StoreError, match=r"no space left[\s\S]*free some space and run the same command again"):
        store.save("cd" * 32, Artefact({"b": 2}, files={"f": b"new"}))
    monkeypatch.undo()
    assert store.load(KEY).record == {"a": [1, 2.5, None]}
    assert not store.has("cd" * 32)
    assert not [path for path in tmp_path.rglob("*.part")]


def test_numbers_that_are_not_finite_are_refused(store):
    with pytest.raises(ValueError, match="Out of range float"):
        store.save(KEY, Artefact({"a": float("nan")}))
    assert not store.has(KEY)
