"""What steps may take, by like ones: one answer for the plan, for the order of steps and for the time left."""

import pytest

from unveil.harness.plan.file import read
from unveil.harness.running.estimate import costs, estimate
from unveil.harness.running.forecast import Forecast
from unveil.harness.running.likeness import facts
from unveil.harness.running.matrix import expand
from unveil.harness.store.artefacts import Store


def nodes(project):
    return expand(read(str(project.folder / "tiny.toml"))).nodes()


def one(project, kind):
    return next(node for node in nodes(project) if node.kind == kind)


def past(node, seconds, **more):
    return {**facts(node), "seconds": seconds, **more}


def test_a_forecast_scales_with_the_work(project):
    target = one(project, "target")
    known = Forecast([past(target, 5.0), past(target, 6.0), past(target, 60.0)])
    assert known.alike(target) == (6.0, "as much work")
    project.edit("tiny.toml", "epochs = 3", "epochs = 6")
    assert known.alike(one(project, "target")) == (12.0, "the same work, other numbers of steps")
    project.edit("tiny.toml", 'use = "small_resnet"\nwidth = 4', 'use = "small_resnet"\nwidth = 8')
    other = one(project, "target")
    assert known.alike(other) is None
    assert known.typical("target") == 6.0
    assert known.typical("data") == 0.0
    again = Forecast([past(other, 3.0, identity=other.identity), past(other, 9.0)])
    assert again.alike(other) == (3.0, "the same step, other code")


def test_the_order_of_steps_follows_the_same_answer(project, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "unveil.harness.running.estimate.reference", lambda: [past(one(project, "target"), 6.0), past(judge, 4.0)]
    )
    judge = one(project, "evaluator")
    file, store = read(str(project.folder / "tiny.toml")), Store(str(tmp_path / "store"))
    told = {step.key: step for step in estimate(expand(file), store)}
    found = costs(expand(file).nodes(), store)
    for key, step in told.items():
        assert found[key] == pytest.approx(step.seconds or (6.0 if step.kind == "target" else 0.0))
