"""Reconstructions too many for memory: none of what makes, keeps and measures them ever holds all at once."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import unveil
from unveil.attacks.drawing import draw
from unveil.harness.steps.attack import checked
from unveil.harness.store import manifest
from unveil.harness.store.artefacts import Store
from unveil.harness.types import Images, Run
from unveil.harness.words import pixels
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.pixels import to_uint8

PEOPLE, EACH, SIDE = 5, 300, 32
WHOLE = PEOPLE * EACH * 3 * SIDE**2  # values of all reconstructions, which are far more than the real pictures
FEW = 30_000  # bytes that are held: fewer than the real pictures are
PLUGINS = '''
"""An attack that searches nothing, and people of one colour each."""
from dataclasses import dataclass
from typing import ClassVar
import torch
import torch.nn.functional as F
from unveil.attacks.drawing import draw
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.types import Access


def people(side, count, each):
    g = torch.Generator().manual_seed(len(side))
    looks = torch.randint(0, 200, (count, 1, 3, 1, 1), generator=g)
    x = looks + torch.randint(0, 50, (count, each, 3, 32, 32), generator=g)
    names = tuple(f"{side} {i}" for i in range(count))
    return Pictures(x.flatten(0, 1).byte(), torch.arange(count).repeat_interleave(each), names)


@dataclass(frozen=True)
class Few:
    """A data set."""

    def content(self):
        return {}

    def load(self, run):
        return assemble(people("private", 5, 8), people("public", 6, 4), Shares(0.25, 0.25, 0), publishable=True)


@dataclass(frozen=True)
class Painted:
    """An attack."""

    access: ClassVar[Access] = Access.WHITE_BOX
    paper: ClassVar[str] = ""

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        keys = [(y, i) for y in labels.tolist() for i in range(300)]
        z = torch.randn(len(keys), 12, generator=run.generator("z"))
        return draw(lambda z: F.interpolate(z.view(-1, 3, 2, 2).sigmoid(), view.shape[1:]), z, keys, run)
'''
PLAN = {
    "title": "Many",
    "pictures": 2,
    "recipe": {"epochs": 1, "batch": 16, "views": 0},
    "data": {"use": "many.py:Few"},
    "target": {"use": "small_resnet", "width": 4, "name": "target"},
    "evaluator": {"use": "plain_cnn", "width": 4, "others": "nobody", "name": "judge"},
    "defenses": [{"use": "none"}],
    "attacks": [{"use": "many.py:Painted"}, {"use": "held_out_private", "samples": 2}],
    "metrics": [
        {"use": use}
        for use in ("attack_accuracy", "knn_distance", "copies", "diversity", "memorisation_gap", "exposure")
    ],
}


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor had that was made."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, list | tuple) else [found]:
            if isinstance(one, torch.Tensor) and not one._is_view():
                self.most = max(self.most, one.numel())
        return found


def attack_of(store):
    """Key and pictures' file of the attack with many pictures."""
    key = next(key for key in store.known() if "Painted on" in store.provenance(key)["label"] and
               store.provenance(key)["kind"] == "attack")  # fmt: skip
    return key, store.blobs(key)[manifest.TENSORS]


def test_no_step_holds_all_and_what_is_stored_and_measured_is_the_same_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many.py").write_text(PLUGINS)
    with Largest() as held:
        in_memory = unveil.run(PLAN, store="memory")
    monkeypatch.setattr(pixels, "HELD", FEW)
    with Largest() as streamed:
        results = unveil.run(PLAN, store="files")
    assert {row.status for row in results.rows} == {"done"}, [row.error for row in results.rows]
    assert held.most >= WHOLE
    assert streamed.most < WHOLE / 3
    assert [row.plain() for row in results.rows] == [row.plain() for row in in_memory.rows]
    assert attack_of(Store("files")) == attack_of(Store("memory"))
    assert not list((tmp_path / "files" / "scratch").glob("*/*"))


def test_many_are_rounded_as_they_are_drawn_and_stay_in_their_file(tmp_path, monkeypatch):
    keys, z = [(i % 3, i) for i in range(600)], torch.rand(600, 4)
    few = draw(lambda z: z.view(-1, 1, 2, 2), z, keys, Run("few"))
    assert few.stored.is_floating_point()
    monkeypatch.setattr(pixels, "HELD", 1000)
    many = draw(lambda z: z.view(-1, 1, 2, 2), z, keys, Run("many", scratch=tmp_path))
    kept = checked(many, torch.arange(3), (1, 2, 2), "it", tmp_path)
    assert not many.stored.held
    assert kept.stored is many.stored
    assert torch.equal(kept.levels(slice(None)), to_uint8(few.pixels))
    assert kept.labels.tolist() == [y for y, _ in keys]


def test_what_is_not_finite_is_refused_before_eight_bits_hide_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "HELD", 1000)
    z = torch.rand(600, 4)
    z[400, 1] = float("nan")
    with pytest.raises(UnveilError, match="not finite, in 1 of 104 pictures, of 600 in all"):
        draw(lambda z: z.view(-1, 1, 2, 2), z, [(0, i) for i in range(600)], Run("many", scratch=tmp_path), batch=104)


def test_a_plain_tensor_of_many_is_put_away(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "HELD", 1000)
    x = torch.rand(600, 1, 2, 2)
    kept = checked(Images(x, torch.arange(600) % 3), torch.arange(3), (1, 2, 2), "it", tmp_path)
    assert not kept.stored.held
    assert torch.equal(kept.levels(slice(None)), to_uint8(x))
