"""What a store holds is told to the byte, damage is found wherever it is, and what is needed is never collected."""

import json

import pytest
import torch

from unveil.harness.store import collection, inventory
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.store.beats import Rhythm
from unveil.harness.words.errors import StoreError

A, B, C = ("ab" * 32, "cd" * 32, "ef" * 32)


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    """A and B share a blob; C is alone; a killed run left a blob and half a file."""
    url = str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path.name}"
    made = Store(url, Rhythm(beat=0.05, look=0.01, expiry=0.02))
    for number, key in enumerate((A, B, C)):
        behind = {"kind": "prior" if key == C else "target", "label": f"step {number}", "seconds": 1}
        tensors = {"x": torch.full((50,), number // 2)}
        made.save(key, Artefact({"n": number}, tensors, {f"{number}.txt": bytes([number])}, behind))
    made.put_blob("12" * 32, b"left")
    made.files.put("blobs/12/half.part", b"half")
    made.files.put(f"scratch/{A}/training.pt", b"finished")
    made.files.put(f"scratch/{'99' * 32}/training.pt", b"another plan's")
    made.files.put("aside/blobs/x", b"junk")
    made.files.put("mlflow.db", b"not ours")
    return made


def blob(store, key, name):
    path = store.blobs(key)[name]
    return f"blobs/{path[:2]}/{path}"


def test_every_byte_is_counted_once(store):
    found = inventory.take(store)
    total = sum(found.sizes.values())
    assert found.bytes_of([A, B, C]) + sum(found.outside().values()) == total
    shared = found.sizes[blob(store, A, "tensors.safetensors")]
    assert found.bytes_of([A, B]) == found.bytes_of([A]) + found.bytes_of([B]) - shared
    assert {one.kind for one in found.held.values()} == {"target", "prior"}
    assert set(found.outside()) == {
        "blobs that nothing names", "checkpoints of unfinished steps", "set aside", "else",
    }  # fmt: skip
    if store.local is not None:
        assert total == sum(path.stat().st_size for path in store.local.rglob("*") if path.is_file())


def whole(store):
    """Without what the killed run left, which is not called by its checksum."""
    store.files.remove(["blobs/12/half.part", f"blobs/12/{'12' * 32}"])
    return store


HARM = {"empty": b"", "cut": b"x", "lost": None}


@pytest.mark.parametrize("how", HARM)
def test_verifying_finds_what_nobody_has_read(store, how):
    assert not inventory.verify(whole(store)).damaged
    path = blob(store, A, "tensors.safetensors")
    store.files.remove([path]) if how == "lost" else store.files.put(path, HARM[how])
    fresh = Store(store.url)
    found = inventory.verify(fresh)
    assert list(found.damaged) == [path]
    assert {one.key for one in found.hit} == {A, B}
    assert inventory.verify(fresh) == found  # looking changes nothing
    inventory.set_aside(fresh, found)
    assert not inventory.verify(Store(store.url)).damaged
    assert [Store(store.url).usable(key) for key in (A, B, C)] == [False, False, True]


def test_a_damaged_manifest_is_found(store):
    store.files.put(f"artefacts/{C}.json", b"{}")
    assert inventory.verify(whole(store)).damaged == {f"artefacts/{C}.json": "is no manifest"}


def test_what_is_reached_or_pinned_stays_whole_and_the_rest_goes(store):
    collection.pin(store, "paper", [B])
    before = store.files.sizes()
    found = collection.find(store, [A])
    assert store.files.sizes() == before  # looking deletes nothing
    collection.delete(store, found)
    fresh = Store(store.url)
    assert fresh.known() == sorted([A, B])
    assert not inventory.verify(fresh).damaged
    assert set(fresh.files.sizes()) == {
        *inventory.take(fresh).paths_of([A, B]), "pins/paper.json", "mlflow.db",
    }  # fmt: skip
    assert sum(found.sizes.values()) == sum(before.values()) - sum(fresh.files.sizes().values())
    assert collection.find(fresh, [A]).paths == {}
    assert collection.unpin(fresh, "paper")
    assert not collection.unpin(fresh, "paper")
    collection.delete(fresh, collection.find(fresh, [A]))
    assert Store(store.url).known() == [A]
    assert not inventory.verify(Store(store.url)).damaged


def test_a_checkpoint_of_an_unfinished_step_stays(store):
    wanted = "99" * 32
    collection.delete(store, collection.find(store, [wanted]))
    assert list(store.files.sizes("scratch")) == [f"scratch/{wanted}/training.pt"]


def test_nothing_is_deleted_while_a_run_is_at_work(store):
    found, before = collection.find(store, [A]), store.files.sizes()
    slow = Store(store.url, Rhythm(beat=0.02, look=0.01, expiry=60))
    with slow.lease(C, "a step"), pytest.raises(StoreError, match="a run is at work"):
        collection.delete(store, found)
    assert store.files.sizes() == before
    abandoned = {"who": "nobody", "place": "", "pid": 1, "expiry": 0.02}
    store.files.put(f"leases/{C}" + "/0.json" * (store.local is None), json.dumps(abandoned).encode())
    collection.delete(store, found)


@pytest.mark.parametrize("junk", [b"", b"{", b"{}", b"[1]", b"\xff"])
def test_a_pin_that_cannot_be_read_lets_nothing_go(store, junk):
    store.files.put("pins/paper.json", junk)
    with pytest.raises(StoreError, match=r"pins/paper\.json"):
        collection.find(store, [A])


def test_a_link_out_of_the_store_is_not_followed(tmp_path):
    store = Store(str(tmp_path / "store"))
    store.save(A, Artefact({}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    (tmp_path / "store" / "aside").mkdir()
    (tmp_path / "store" / "aside" / "out").symlink_to(tmp_path / "mine")
    (tmp_path / "store" / "aside" / "ring").symlink_to(tmp_path / "store")
    collection.delete(store, collection.find(store, [A]))
    assert (tmp_path / "mine" / "letter").read_text() == "dear"
    assert store.known() == [A]


@pytest.mark.slow
def test_the_commands_on_a_run(project, tmp_path):
    def call(*words, status=0):
        done = project.call("store", *words)
        assert done.returncode == status, done.stderr
        return done.stdout

    assert project.run(TROUBLE=str(project.folder / "tiny.toml")).returncode == 0
    room = json.loads(call("du", "--store", "store", "--json"))
    assert room["plans"]["tiny"]["artefacts"] == sum(kind["artefacts"] for kind in room["kinds"].values()) == 12
    assert "all whole" in call("verify", "--store", "store")
    call("pin", "tiny.toml", "--store", "store")
    project.edit("tiny.toml", "epochs = 3", "epochs = 2")
    assert "12 artefacts stay" in call("gc", "tiny.toml", "--store", "store", "--yes")
    call("export", "tiny", "tiny.zip", "--store", "store")
    call("import", "tiny.zip", "--store", "other")
    assert "no longer pinned" in call("pin", "tiny", "--remove", "--store", "store")
    assert "run again with --yes" in call("gc", "tiny.toml", "--store", "store")
    call("gc", "tiny.toml", "--store", "store", "--yes")
    assert json.loads(call("du", "--store", "store", "--json"))["plans"]["tiny"]["artefacts"] < 12
    project.edit("tiny.toml", "epochs = 2", "epochs = 3")
    again = project.run("other", TROUBLE=str(project.folder / "tiny.toml"))
    assert "0 computed now, 12 known before" in again.stderr
    assert project.rows("other") == project.rows()
    blobs = [path for path in (project.folder / "other" / "blobs").rglob("*") if path.is_file()]
    blobs[0].write_bytes(b"")
    assert "is empty" in call("verify", "--store", "other", status=1)
