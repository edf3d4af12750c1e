"""What stays loaded while a matrix is gone through, and that it is the same for whoever loads it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unveil.harness.plan.node import Node, Use
from unveil.harness.steps import bench as module
from unveil.harness.steps import classifiers
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.classifiers import read, trained
from unveil.harness.steps.isolation import Held, held_apart
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.memo import forget_all
from unveil.harness.words.meter import Budget
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.harness.words.view import Access, View


def node(kind, name):
    plain = {"label": name, "options": {"reject": 1.0}, "uses": {}, "parents": {}, "randomness": "r"}
    return SimpleNamespace(kind=kind, key=f"{kind} {name}", **plain)


@pytest.fixture
def bench(monkeypatch):
    made = Bench(SimpleNamespace())
    made.loaded = []
    monkeypatch.setattr(made, "artefact", lambda n: Artefact({"classes": 2, "shape": [3, 8, 8]}))
    monkeypatch.setattr(classifiers, "untrained", lambda n, *_: made.loaded.append(n.key) or nn.Identity())
    monkeypatch.setattr(classifiers, "fill", lambda *_: None)
    return made


def test_evaluators_stay_over_all_defenses_and_attacks(bench):
    judges = [node("evaluator", i) for i in range(module.JUDGES)]
    for defense in range(4):
        target = node("target", defense)
        for attack in range(3):
            for student in range(4):
                read(node("student", f"{defense} {attack} {student}"), bench, Run("x"))
            for judge in judges:
                read(target, bench, Run("x"))
                read(judge, bench, Run("x"))
    assert [key for key in bench.loaded if key.startswith("evaluator")] == [judge.key for judge in judges]
    assert sum(key.startswith("target") for key in bench.loaded) == 4


def test_memory_is_bounded_and_can_be_emptied(bench):
    for i in range(2 * module.KEPT):
        read(node("student", i), bench, Run("x"))
        read(node("evaluator", i), bench, Run("x"))
    assert (len(bench._kept), len(bench._judges)) == (module.KEPT, module.JUDGES)
    forget_all()
    assert not bench._kept
    assert not bench._judges


DRAWN = """
from dataclasses import dataclass
import torch
from torch import nn
from unveil.harness.types import Defense


class Mask(nn.Module):
    def __init__(self, run, classes):
        super().__init__()
        self.noise = torch.randn(classes, generator=run.generator("noise"))

    def forward(self, x):
        return x + self.noise


@dataclass(frozen=True)
class Drawn(Defense):
    def finish(self, classifier, run):
        classifier.outputs = Mask(run, classifier.classes)
        return classifier
"""


def test_a_target_is_the_same_for_attack_metric_and_the_process_that_holds_it(tmp_path):
    (tmp_path / "drawn.py").write_text(DRAWN)
    uses = {
        "model": (Use("models", Spec("small_resnet", {"width": 4}), str(tmp_path)),),
        "defenses": (Use("defenses", Spec("drawn.py:Drawn"), str(tmp_path)),),
    }
    target = Node("target", "t", uses, stream={"seed": 0})
    store, x = Store(str(tmp_path / "store")), torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    bare = uses["model"][0].make().build(4, (3, 16, 16), Run("trained"))
    store.save(target.key, trained(bare, (3, 16, 16), {}))
    loaded = [read(target, Bench(store), Run(name)).logits(x) for name in ("attack", "metric")]
    assert torch.equal(*loaded)
    assert (loaded[0] - bare.eval().logits(x)).abs().max() > 0.1
    here = View(read(target, Bench(store), Run("attack")), Access.SCORES, (3, 16, 16)).scores(x)
    held = Held(store.url, target, Access.SCORES, (3, 16, 16), Budget(), "cpu", torch.get_num_threads())
    with held_apart(held, 4) as desk:
        assert torch.equal(View.at(desk).scores(x), here)
