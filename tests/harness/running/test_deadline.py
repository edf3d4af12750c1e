"""A run ends at its deadline: nothing long is begun, what runs goes on to a checkpoint, what was found is measured."""

from dataclasses import replace

import pytest

from unveil.harness.audit import compute
from unveil.harness.plan.file import read
from unveil.harness.running.deadline import NO_TIME, Deadline
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefacts import Store


@pytest.fixture
def nodes(project):
    return expand(read(str(project.folder / "tiny.toml"))).nodes()


@pytest.fixture
def around(tmp_path):
    return Surroundings(str(tmp_path / "store"))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_nothing_is_begun_that_does_not_fit_and_the_rest_is_measured(nodes, around):
    clock = Clock()
    target = next(node for node in nodes if node.label == "target trouble" or node.kind == "target")
    around = replace(around, deadline=Deadline(100.0, clock))
    outcomes = run_nodes(nodes, around, InlinePool(), lambda *_: None, expected={target.key: 150.0})
    refused = outcomes[target.key]
    assert (refused.status, refused.error) == ("blocked", f"{NO_TIME} for the 150 s that it may take")
    for node in nodes:
        hit = target in node.lineage()
        assert outcomes[node.key].status == ("blocked" if hit else "done"), node.label
        assert not hit or outcomes[node.key].error.startswith(NO_TIME)


def test_after_the_deadline_only_what_is_short_is_done(nodes, around):
    clock = Clock()
    around = replace(around, deadline=Deadline(100.0, clock))

    def heard(node, outcome):
        if outcome is not None and node.label == "guess on small_resnet with none":
            clock.now = 101.0

    first = [node for node in nodes if "trouble" not in node.label]
    rest = [node for node in nodes if node not in first]
    outcomes = run_nodes([*first, *rest], around, InlinePool(), heard)
    assert {outcomes[node.key].status for node in first} == {"done"}  # its metrics came after
    assert {outcomes[node.key].error for node in rest if node.kind == "target"} == {NO_TIME}


def test_a_step_at_its_deadline_ends_at_a_checkpoint_and_goes_on_later(nodes, around, tmp_path):
    clock = Clock()
    late = replace(around, deadline=Deadline(100.0, clock))
    judge = next(node for node in nodes if node.kind == "evaluator")

    def heard(node, outcome):
        if outcome is None and node == judge:
            clock.now = 101.0

    wanted = list(judge.lineage())
    outcomes = run_nodes(wanted, late, InlinePool(), heard)
    assert outcomes[judge.key].status == "blocked"
    assert "goes on from a checkpoint" in outcomes[judge.key].error
    assert list((tmp_path / "store" / "scratch" / judge.key).iterdir())
    again, whole = Store(around.store), Store(str(tmp_path / "whole"))
    compute(wanted, again, around, lambda *_: None)
    compute(wanted, whole, replace(around, store=whole.url), lambda *_: None)
    assert again.blobs(judge.key) == whole.blobs(judge.key)
