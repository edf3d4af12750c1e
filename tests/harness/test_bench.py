"""What stays loaded while a matrix is gone through in the plan's order."""

from types import SimpleNamespace

import pytest
from torch import nn

from unveil.harness.memo import forget_all
from unveil.harness.run import Run
from unveil.harness.stages import bench as module
from unveil.harness.stages.bench import Bench
from unveil.harness.store import Artefact


def node(kind, name):
    return SimpleNamespace(kind=kind, key=f"{kind} {name}", label=name, options={"reject": 1.0}, uses={}, parents={})


@pytest.fixture
def bench(monkeypatch):
    made = Bench(SimpleNamespace())
    made.loaded = []
    monkeypatch.setattr(made, "artefact", lambda n: Artefact({"classes": 2, "shape": [3, 8, 8]}))
    monkeypatch.setattr(made, "untrained", lambda n, *_: made.loaded.append(n.key) or nn.Identity())
    monkeypatch.setattr(module, "fill", lambda *_: None)
    return made


def test_evaluators_stay_over_all_defenses_and_attacks(bench):
    judges = [node("evaluator", i) for i in range(module.JUDGES)]
    for defense in range(4):
        target = node("target", defense)
        for attack in range(3):
            for student in range(4):
                bench.classifier(node("student", f"{defense} {attack} {student}"), Run("x"))
            for judge in judges:
                bench.classifier(target, Run("x"))
                bench.classifier(judge, Run("x"))
    assert [key for key in bench.loaded if key.startswith("evaluator")] == [judge.key for judge in judges]
    assert sum(key.startswith("target") for key in bench.loaded) == 4


def test_memory_is_bounded_and_can_be_emptied(bench):
    for i in range(2 * module.KEPT):
        bench.classifier(node("student", i), Run("x"))
        bench.classifier(node("evaluator", i), Run("x"))
    assert (len(bench._kept), len(bench._judges)) == (module.KEPT, module.JUDGES)
    forget_all()
    assert not bench._kept
    assert not bench._judges
