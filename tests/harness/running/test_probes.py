"""Steps of which nothing is known are timed by a probe, which is remembered and changes nothing."""

import itertools
import json

import pytest
import torch

from unveil.harness.audit import compute
from unveil.harness.plan.file import read
from unveil.harness.running.conditions import Conditions
from unveil.harness.running.estimate import costs, estimate
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.likeness import facts
from unveil.harness.running.matrix import expand
from unveil.harness.running.probes import Probing, remembered, told_of
from unveil.harness.running.rehearse import Rehearsal
from unveil.harness.running.stopwatch import Pace
from unveil.harness.running.tally import Tally
from unveil.harness.store import collection
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import StoreError


@pytest.fixture(autouse=True)
def nothing_known_elsewhere(monkeypatch):
    monkeypatch.setattr("unveil.harness.running.estimate.reference", list)


@pytest.fixture
def rehearsed(monkeypatch):
    """Labels of the steps that were timed."""
    labels, own = [], Rehearsal.time
    monkeypatch.setattr(
        Rehearsal, "time", lambda self, node, limit: labels.append(node.label) or own(self, node, limit)
    )
    return labels


def matrix(project):
    return expand(read(str(project.folder / "tiny.toml")))


def store_in(folder):
    return Store(str(folder / "store"))


def probing(store, **more):
    ticks = itertools.count()  # a second passes whenever somebody looks
    return Probing(Surroundings(store.url), 3600, 600, clock=lambda: float(next(ticks)), **more)


def found(project, store, **more):
    return {step.label: step for step in estimate(matrix(project), store, probing(store, **more))}


def test_every_step_is_estimated_and_the_probes_are_used_again(project, tmp_path, rehearsed):
    store = store_in(tmp_path)
    plan, before = matrix(project), torch.get_rng_state()
    steps = estimate(plan, store, probing(store))
    assert all(step.seconds is not None for step in steps)
    assert torch.equal(before, torch.get_rng_state())
    target = next(step for step in steps if step.label == "target small_resnet with none")
    assert (target.state, target.source) == ("to run", "as much work, in a probe")
    assert len(rehearsed) == len(set(rehearsed)) > 4
    assert not {"artefacts", "scratch", "blobs"}.intersection(path.name for path in (tmp_path / "store").iterdir())
    rehearsed.clear()
    assert estimate(plan, Store(store.url), probing(store)) == estimate(plan, store) == steps
    assert not rehearsed
    assert costs(plan.nodes(), store)[target.key] == target.seconds
    tally = Tally(plan.nodes(), store)
    tally.heard(plan.nodes()[0], None)
    assert tally._rest == pytest.approx(sum(step.seconds for step in steps))


def test_a_probe_changes_no_result(project, tmp_path):
    plan, stores = matrix(project), [store_in(tmp_path / name) for name in ("plain", "probed")]
    estimate(plan, stores[1], probing(stores[1]))
    for store in stores:
        compute(plan.nodes(), store, Surroundings(store.url), lambda *_: None)
    for node in plan.nodes():
        assert stores[0].record(node.key) == stores[1].record(node.key)
        assert stores[0].blobs(node.key) == stores[1].blobs(node.key)


def test_equal_work_is_timed_once_and_other_numbers_of_epochs_follow(project, tmp_path, rehearsed):
    project.edit("tiny.toml", 'title = "Tiny"', 'title = "Tiny"\nseeds = [0, 1, 2]')
    store = store_in(tmp_path)
    first = found(project, store)
    assert sum(label.startswith("target small_resnet with none") for label in rehearsed) == 1
    rehearsed.clear()
    project.edit("tiny.toml", "epochs = 3", "epochs = 6")
    longer = found(project, store)
    assert not rehearsed
    label = "target small_resnet with none, seed 2"
    assert longer[label].seconds == pytest.approx(2 * first[label].seconds)


def test_a_plugin_that_raises_is_of_unknown_cost_and_says_why(project, tmp_path):
    project.edit("guess.py", "keys = [", 'raise ValueError("no idea")\n        keys = [')
    steps = found(project, store_in(tmp_path))
    attack = steps["guess on small_resnet with none"]
    assert attack.seconds is None
    assert "no idea" in attack.source
    assert steps["target small_resnet with none"].seconds is not None
    measured = steps["attack_accuracy of guess on small_resnet with none by judge"]
    assert measured.seconds is None
    assert "no idea" in measured.source


ASKS = '''
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Asks:
    """Somebody who notices that they are asked."""

    yes_or_no: ClassVar[bool] = True

    def compare(self, pictures, people, pairs, run):
        Path(__file__).with_name("asked").touch()
        return (pairs[:, 0] % 2).astype(float)
'''


def test_nobody_from_outside_is_asked_by_a_probe(project, tmp_path):
    (tmp_path / "asks.py").write_text(ASKS)
    project.edit("tiny.toml", '[[metrics]]\nuse = "utility"', '[[metrics]]\nuse = "verification"\nquestions = 12\n'
    'comparer = { use = "asks.py:Asks" }')  # fmt: skip
    step = found(project, store_in(tmp_path))["verification of guess on small_resnet with none"]
    assert step.seconds is None
    assert "no probe may ask" in step.source
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("body", ["time.sleep(60)", "while True: pass"])
def test_a_step_that_shows_no_progress_is_stopped(project, tmp_path, body):
    project.edit("guess.py", "keys = [", f"import time\n        {body}\n        keys = [")
    store, plan = store_in(tmp_path), matrix(project)
    attack = next(node for node in plan.nodes() if node.kind == "attack")
    rehearsal = Rehearsal(store, Surroundings(store.url))
    assert rehearsal.time(attack.parents["data"], 60).seconds is not None
    rehearsal._provide(attack.parents["target"])
    timing = rehearsal.time(attack, 0.5)
    assert timing.seconds is None
    assert "nothing of its progress" in timing.reason


def test_a_step_of_which_a_probe_saw_the_first_loop_only_takes_that_or_longer(project, tmp_path):
    project.edit(
        "guess.py", "keys = [", "import time\n"
        "        for name, units in (('first', 40), ('second', 4000)):\n"
        "            with run.progress(name, units) as bar:\n"
        "                for _ in range(units):\n"
        "                    time.sleep(0.02)\n"
        "                    bar.advance(1)\n"
        "        keys = [",
    )  # fmt: skip
    store, plan = store_in(tmp_path), matrix(project)
    attack = next(node for node in plan.nodes() if node.kind == "attack")
    rehearsal = Rehearsal(store, Surroundings(store.url), pace=Pace(0.1, 0.2, forward=0.2, tried=0.05))
    assert rehearsal.time(attack.parents["data"], 60).seconds is not None
    timing = rehearsal.time(attack, 20)
    assert timing.partly
    assert timing.seconds is not None
    told = told_of(attack, timing.seconds, Conditions("cpu", 1, "mine"), partly=True)
    store.put_text("probes/attack.json", json.dumps(told))
    step = {step.key: step for step in estimate(plan, store, conditions=Conditions("cpu", 1, "mine"))}[attack.key]
    assert step.at_least
    assert step.source == "as much work, in a probe of its first part"
    store.put_text("probes/whole.json", json.dumps({**told, "seconds": 80.0, "partly": False}))
    step = {step.key: step for step in estimate(plan, store, conditions=Conditions("cpu", 1, "mine"))}[attack.key]
    assert (step.at_least, step.seconds, step.source) == (False, 80.0, "as much work, in a probe")


def test_probes_end_with_their_time_and_the_rest_is_left_for_the_next(project, tmp_path):
    store = store_in(tmp_path)
    steps = estimate(matrix(project), store, Probing(Surroundings(store.url), seconds=0.0))
    assert {step.seconds for step in steps} == {None}
    assert all(step.source.startswith("no probe yet") for step in steps)


def test_a_store_that_cannot_be_written_and_damaged_timings_cost_only_time(project, tmp_path, monkeypatch, caplog):
    store = store_in(tmp_path)
    for i, text in enumerate(
        ("", "[]", "{}", '{"seconds": NaN}', '{"on": {}, "uses": 3, "kind": "data", "seconds": 1}')
    ):
        store.put_text(f"probes/{i}.json", text)
    assert remembered(store) == []

    def full(path, text):
        raise StoreError("the disk is full", "room", "make some")

    monkeypatch.setattr(store, "put_text", full)
    assert all(step.seconds is not None for step in found(project, store).values())
    assert "does not remember" in caplog.text


def past(node, seconds, **more):
    return {**facts(node), "seconds": seconds, **more}


def test_timings_from_elsewhere_are_scaled_by_what_was_timed_on_both(project, tmp_path, monkeypatch):
    nodes = {node.label: node for node in matrix(project).nodes()}
    target, judge = nodes["target small_resnet with none"], nodes["evaluator judge"]
    store, here = store_in(tmp_path), Conditions("cpu", 1, "mine")
    monkeypatch.setattr(
        "unveil.harness.running.estimate.reference", lambda: [past(target, 10.0), past(judge, 30.0), past(judge, 50.0)]
    )
    told = {**past(target, 5.0), "device": "cpu", "threads": 1, "processor": "mine"}
    other = {**past(target, 99.0), "device": "cpu", "threads": 8, "processor": "mine"}
    for i, one in enumerate((told, other)):
        store.put_text(f"probes/{i}.json", json.dumps(one))
    steps = {step.key: step for step in estimate(matrix(project), store, conditions=here)}
    assert steps[target.key].seconds == 5.0
    assert steps[judge.key].seconds == pytest.approx(20.0)
    assert steps[judge.key].source == "as much work, two cores elsewhere, times 0.5 for this machine"
    elsewhere = {step.key: step for step in estimate(matrix(project), store, conditions=Conditions("cuda", 1, "mine"))}
    assert "under other conditions" in elsewhere[target.key].source


def test_garbage_collection_forgets_timings_of_steps_that_no_plan_has(project, tmp_path):
    store = store_in(tmp_path)
    estimate(matrix(project), store, probing(store))
    names = store.files.names("probes")
    assert names
    keys = {node.key for node in matrix(project).nodes()}
    assert not collection.find(store, keys).paths
    target = next(node.key for node in matrix(project).nodes() if node.kind == "target")
    (paths,) = collection.find(store, keys - {target}).paths.values()
    assert [path.partition("-")[0] for path in paths] == [f"probes/{target}"]


def test_plan_says_what_its_estimate_rests_on(project):
    bare = project.call("plan", "tiny.toml", "--store", "store", "--no-probe")
    assert "steps of unknown cost" in bare.stdout
    done = project.call("plan", "tiny.toml", "--store", "store", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "timing target small_resnet with none" in done.stderr
    assert "in a probe" in done.stdout
    assert "with 2 jobs" in done.stdout
    assert "unknown" not in done.stdout
