"""Whatever happens to a store from outside, the next run goes on: what cannot be read is named and computed again."""

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch

from unveil.harness.plan.file import read
from unveil.harness.running import execute
from unveil.harness.running.assemble import results
from unveil.harness.running.estimate import estimate
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import StoreError
from unveil.harness.words.run import Run


class Finished:
    """A tiny plan that was run, in this process."""

    def __init__(self, project):
        project.edit("tiny.toml", '[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "")
        self.file = read(str(project.folder / "tiny.toml"))
        self.matrix = expand(self.file)
        self.store = Store(str(project.folder / "store"))
        self.folder = project.folder / "store"
        self.started = []
        self.rows = self.run()

    def run(self, drop=()):
        """Rows of a run that knows nothing but the store, which lacks the artefacts of these kinds."""
        execute._bench.cache_clear()
        for node in self.matrix.nodes():
            if node.kind in drop:
                (self.folder / f"artefacts/{node.key}.json").unlink(missing_ok=True)
        self.started = []
        outcomes = run_nodes(self.matrix.nodes(), Surroundings(self.store.url), InlinePool(), self.heard)
        assert {outcome.status for outcome in outcomes.values()} <= {"done", "cached"}
        return results(self.file, self.matrix, outcomes, self.store).model_dump_json(include={"rows", "pictures"})

    def heard(self, node, outcome):
        if outcome is not None and outcome.status == "done":
            self.started.append(node.kind)

    def blob(self, kind, name="tensors.safetensors"):
        """A file of the first artefact of a kind."""
        key = next(node.key for node in self.matrix.nodes() if node.kind == kind)
        blob = json.loads((self.folder / f"artefacts/{key}.json").read_text())["blobs"][name]
        return self.folder / "blobs" / blob[:2] / blob


@pytest.fixture
def finished(project):
    return Finished(project)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


HARM = {
    "empty": lambda p: p.write_bytes(b""),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "flip": flip,
    "lost": Path.unlink,
}


def test_a_parent_found_damaged_by_its_child_is_computed_again_first(finished, caplog):
    for kind, drop in (("data", ["evaluator"]), ("target", ["attack"]), ("evaluator", ["measure"])):
        path = finished.blob(kind)
        flip(path)
        assert finished.run(drop) == finished.rows
        assert finished.started.count(kind) == 1
        assert set(finished.started) == {kind, *drop}
        assert f"{path} is damaged: set aside as {finished.folder / 'aside'}" in caplog.text
        assert finished.run() == finished.rows
        assert not finished.started


def test_many_damages_at_once(finished):
    for kind in ("data", "target", "evaluator", "attack"):
        finished.blob(kind).write_bytes(b"")
    assert finished.run(["measure", "picture"]) == finished.rows


def test_what_a_process_has_read_and_is_taken_away_is_computed_again(finished, monkeypatch):
    monkeypatch.setattr(execute._bench, "cache_clear", lambda: None)  # as a notebook, which goes on
    everything = [node.kind for node in finished.matrix.nodes()]
    assert finished.run() == finished.rows
    assert finished.run(everything) == finished.rows
    assert finished.started == everything


def test_a_picture_only_the_page_reads(finished):
    flip(finished.blob("picture", "files/grid.png"))
    assert finished.run() == finished.rows
    assert finished.started == ["picture"]


def test_each_manifest_in_turn(finished):
    manifests = sorted((finished.folder / "artefacts").iterdir())
    for manifest, harm in zip(manifests, list(HARM.values()) * len(manifests), strict=False):
        harm(manifest)
        assert all(step.state for step in estimate(finished.matrix, finished.store))
        assert finished.run() == finished.rows
        assert len(finished.started) == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", HARM)
@pytest.mark.parametrize("drop", [[], ["measure", "picture"], ["evaluator", "target", "attack"]])
def test_each_file_in_turn(finished, how, drop):
    for path in sorted(path for path in finished.folder.rglob("*") if path.is_file()):
        if path.exists():  # an earlier one may have taken it along
            HARM[how](path)
            assert finished.run(drop) == finished.rows
            assert finished.run() == finished.rows


def test_a_disk_that_keeps_nothing_ends_the_run(finished, monkeypatch):
    """A parent that is damaged as often as it is computed is not computed for ever."""
    saved = Store.save

    def spoil(self, key, artefact):
        saved(self, key, artefact)
        if "tensors.safetensors" in json.loads((finished.folder / f"artefacts/{key}.json").read_text())["blobs"]:
            flip(finished.blob("data"))

    flip(finished.blob("data"))
    monkeypatch.setattr(Store, "save", spoil)
    with pytest.raises(StoreError, match="damaged or lost"):
        finished.run(["evaluator"])


def checkpoint(state):
    packed = io.BytesIO()
    torch.save(state, packed)
    return packed.getvalue()


def flipped_in_a_tensor():
    """As torch reads it without complaint."""
    data = bytearray(checkpoint({"model": {"x": torch.ones(64)}}))
    at = data.index(torch.ones(4).numpy().tobytes())
    data[at + 2] ^= 1
    assert torch.load(io.BytesIO(bytes(data)), weights_only=True)
    return bytes(data)


STATES = {
    "empty": b"",
    "garbage": b"\x80garbage" * 9,
    "cut": checkpoint({"epoch": 1})[:-9],
    "flipped": flipped_in_a_tensor(),
    "no state": checkpoint([1, 2]),
    "other keys": checkpoint({"epoch": 1, "model": {"x": torch.ones(1)}, "learner": {}}),
    "no keys": checkpoint({}),
    "a zip": None,
}


@pytest.mark.parametrize("how", [*STATES, "a folder", "no folder above"])
def test_a_checkpoint_that_cannot_be_used_is_set_aside(finished, how, caplog):
    key = next(node.key for node in finished.matrix.nodes() if node.kind == "target")
    path = finished.folder / "scratch" / key / "training.pt"
    if how == "no folder above":
        path.parent.parent.mkdir(exist_ok=True)
        path.parent.write_text("a file")
        path = path.parent
    elif how == "a folder":
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True)
        path.write_bytes(STATES[how] or b"")
        if how == "a zip":
            with zipfile.ZipFile(path, "w") as packed:
                packed.writestr("readme", "no checkpoint")
    (path.parent / "left.part").write_bytes(b"half")
    assert finished.run(["target"]) == finished.rows
    assert finished.started == ["target"]
    assert str(path) in caplog.text
    assert (finished.folder / "aside" / path.relative_to(finished.folder)).exists()


def test_a_checkpoint_that_cannot_be_written_is_told_in_words(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"fit\.pt in .* cannot be written: no space left"):
        Run("a", scratch=tmp_path / "scratch").save("fit", {"epoch": 1})
    assert not list(tmp_path.rglob("*.p*t"))
