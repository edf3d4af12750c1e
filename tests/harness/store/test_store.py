"""Artefacts exist whole or not at all, and damage is found, named and moved out of the way."""

import errno
import json
import os
import stat
import sys
from pathlib import Path

import pytest
import torch

from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import DamageError, StoreError, UnveilError

KEY = "ab" * 32


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}")


def artefact():
    tensors = {"x": torch.arange(6.0).view(2, 3), "n": torch.tensor([1, -1]), "u": torch.tensor([7], dtype=torch.uint8)}
    return Artefact({"a": [1, 2.5, None], "b": {10: "x", 9: (1,)}}, tensors, {"grid.png": b"\x89PNG"}, {"seconds": 1.5})


RECORD = {"a": [1, 2.5, None], "b": {"10": "x", "9": [1]}}


def test_round_trip(store):
    assert not store.has(KEY)
    store.save(KEY, artefact())
    back = store.load(KEY)
    assert store.has(KEY)
    assert store.usable(KEY)
    assert store.known() == [KEY]
    assert back.record == store.record(KEY) == RECORD
    assert back.provenance == {"seconds": 1.5}
    assert back.files == {"grid.png": b"\x89PNG"}
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in artefact().tensors.items())


def test_missing_is_an_error(store):
    assert not store.usable(KEY)
    with pytest.raises(DamageError, match="missing or damaged"):
        store.load(KEY)


def test_who_comes_second_leaves_what_is_there(store):
    store.save(KEY, artefact())
    store.save(KEY, Artefact({"a": "another run's"}))
    assert store.record(KEY) == RECORD


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


WAYS = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "flipped": flipped,
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    "another shape": lambda path: path.write_text('["record", {}]'),
    "no fields": lambda path: path.write_text("{}"),
    "another number": lambda path: path.write_bytes(path.read_bytes().replace(b"2.5", b"2.6")),
    "lost": Path.unlink,
    "a folder": directory,
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.mark.parametrize(
    ("what", "how"),
    [
        (what, how)
        for what in ("manifest", "tensors", "file")
        for how in WAYS
        if what == "manifest" or how != "another number"
    ],
)
def test_what_cannot_be_read_is_set_aside_and_can_be_computed_again(tmp_path, caplog, what, how):
    store = Store(str(tmp_path / "s [1]"))
    store.save(KEY, artefact())
    manifest = tmp_path / f"s [1]/artefacts/{KEY}.json"
    blobs = json.loads(manifest.read_text())["blobs"]
    blob = blobs["tensors.safetensors" if what == "tensors" else "files/grid.png"]
    path = manifest if what == "manifest" else tmp_path / f"s [1]/blobs/{blob[:2]}/{blob}"
    WAYS[how](path)
    seen = os.path.lexists(path)
    assert store.known() == [KEY] * (what != "manifest")  # looking moves nothing
    assert seen == os.path.lexists(path)

    assert store.usable(KEY) == (what == "tensors")  # whoever loads them finds out
    with pytest.raises(DamageError):
        store.load(KEY)
    assert not store.has(KEY)
    assert os.path.lexists(tmp_path / "s [1]/aside" / path.relative_to(tmp_path / "s [1]")) == (how != "lost")
    assert how == "lost" or str(path.relative_to(tmp_path)) in caplog.text
    store.save(KEY, artefact())
    assert store.load(KEY).files
    assert store.record(KEY) == RECORD


def test_a_damaged_blob_is_not_taken_for_the_same_bytes(tmp_path):
    store = Store(str(tmp_path))
    store.save(KEY, artefact())
    for path in [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]:
        path.write_bytes(b"")
    store.save("cd" * 32, artefact())  # of other code, with equal results
    assert store.load("cd" * 32).files
    assert store.load(KEY).files


def test_a_file_in_place_of_a_folder_is_set_aside(tmp_path):
    (tmp_path / "blobs").write_text("no folder")
    (tmp_path / "artefacts").write_text("no folder either")
    store = Store(str(tmp_path))
    assert not store.usable(KEY)
    store.save(KEY, artefact())
    assert store.load(KEY).files
    assert (tmp_path / "aside" / "blobs").read_text() == "no folder"


def test_nothing_set_aside_replaces_another(tmp_path):
    store = Store(str(tmp_path))
    for text in ("first", "second"):
        (tmp_path / "artefacts").mkdir(exist_ok=True)
        (tmp_path / f"artefacts/{KEY}.json").write_text(text)
        assert not store.usable(KEY)
    assert sorted(path.read_text() for path in (tmp_path / "aside/artefacts").iterdir()) == ["first", "second"]


def test_damage_in_a_bucket_is_set_aside_too(tmp_path):
    store = Store(f"memory://{tmp_path.name}")
    store.save(KEY, artefact())
    store.files.fs.pipe_file(f"{store.files.root}/artefacts/{KEY}.json", b"")
    assert not store.usable(KEY)
    assert len(store.files.names("aside/artefacts")) == 1
    store.save(KEY, artefact())
    assert store.load(KEY).files


def test_a_network_that_fails_is_no_damage(tmp_path, monkeypatch):
    store = Store(f"memory://{tmp_path.name}")
    store.save(KEY, artefact())

    def down(path, **more):
        raise ConnectionError("no route")

    with monkeypatch.context() as patched:
        patched.setattr(store.files.fs, "cat_file", down)
        with pytest.raises(StoreError, match=r"cannot be read: ConnectionError: no route") as found:
            store.usable(KEY)
        assert not isinstance(found.value, DamageError)
    assert store.usable(KEY)


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    store.save(KEY, artefact())

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"no space left[\s\S]*free some space and run the same command again"):
            store.save("cd" * 32, Artefact({"b": 2}, files={"f": b"new"}))
    assert store.load(KEY).record == RECORD
    assert not store.has("cd" * 32)
    assert not [path for path in tmp_path.rglob("*.part")]


def test_data_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    """A power loss between any two calls leaves the old file or the new one, and no manifest without its blobs."""
    calls = []
    renamed, synced = Path.replace, os.fsync

    def replace(self, target):
        calls.append(target.relative_to(tmp_path).parts[0])
        return renamed(self, target)

    def fsync(handle):
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "data")
        return synced(handle)

    store = Store(str(tmp_path))
    store.save("cd" * 32, Artefact({"a": 1}, files={"f": b"old"}))  # makes the folders
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    store.save(KEY, Artefact({"a": 1}, files={"f": b"old", "g": b"new"}))
    assert calls[:1] == ["folder"]  # that of the new blob's digits, in `blobs`
    assert calls[1:] == ["data", "blobs", "folder", "data", "artefacts", "folder"]


def test_numbers_that_are_not_finite_are_refused(store):
    with pytest.raises(UnveilError, match="curves / loss / 1 came out as nan"):
        store.save(KEY, Artefact({"curves": {"loss": [1.0, float("nan")]}}))
    assert not store.has(KEY)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nosuch://x", "Protocol not known"),
        ("gs://bucket/x", "gcsfs"),
        ("a\0b", "null"),
        ("ring/x", "ring"),
    ],
)
def test_a_store_that_cannot_be_had_is_told_in_words(tmp_path, monkeypatch, url, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # as where it is not installed
    (tmp_path / "ring").symlink_to("ring")
    with pytest.raises(StoreError, match=told):
        Store(url).check()


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_is_no_store_and_stays_one(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"cannot be written: .*(not a folder|exists|directory)"):
        Store(str(tmp_path / place)).check()
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_that_takes_nothing_is_no_store(tmp_path, monkeypatch):
    def closed(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(StoreError, match="Permission denied"):
        Store(str(tmp_path)).check()


def test_a_store_that_takes_something_is_left_as_it_was(store):
    store.check()
    assert store.files.names("") == []
