"""How far a run is: every step is in one place, and the time left follows what was measured."""

import json
import os

import pytest

from unveil.cli.events import event, lines, sentence
from unveil.harness.plan.file import read
from unveil.harness.running.execute import Outcome
from unveil.harness.running.likeness import facts
from unveil.harness.running.matrix import expand
from unveil.harness.running.tally import Tally
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store


@pytest.fixture
def nodes(project):
    return expand(read(str(project.folder / "tiny.toml"))).nodes()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def past(node, seconds):
    return {**facts(node), "seconds": seconds}


def test_every_step_is_in_one_place_and_the_time_left_follows_the_machine(nodes, tmp_path, monkeypatch):
    monkeypatch.setattr("unveil.harness.running.estimate.reference", lambda: [past(node, 10.0) for node in nodes])
    store, clock = Store(str(tmp_path / "store")), Clock()
    store.save(nodes[0].key, Artefact({}, provenance=past(nodes[0], 10.0)))
    tally = Tally(nodes, store, clock)
    assert tally.left is tally.a_minute is None
    tally.heard(nodes[0], Outcome("cached", seconds=10))
    tally.heard(nodes[1], None)
    assert tally.counts["running"] == 1
    clock.now += 20
    tally.heard(nodes[1], Outcome("done", seconds=20))  # twice as long as elsewhere
    rest = len(nodes) - 2
    assert tally.left == pytest.approx(20 * rest)
    assert tally.a_minute == pytest.approx(3)
    for node in nodes[2:4]:
        tally.heard(node, None)
    clock.now += 10
    assert tally.left == pytest.approx((20 * rest - 2 * 10) / 2)  # two at a time, ten seconds of each are over
    tally.heard(nodes[2], Outcome("failed", "ValueError"))
    tally.heard(nodes[3], None)  # its parent was damaged: once more
    tally.heard(nodes[1], None)
    tally.heard(nodes[1], Outcome("done", seconds=5))
    tally.heard(nodes[1], Outcome("cached", seconds=5))  # assembled a second time
    counts = tally.counts
    assert sum(counts[how] for how in counts if how != "steps") == counts["steps"] == len(nodes)
    assert (counts["done"], counts["cached"], counts["failed"], counts["running"]) == (1, 1, 1, 1)
    assert tally.longest == (20, nodes[1].label)
    told = sentence(tally)
    assert told.startswith("1 done, 1 known, 1 running, ")
    assert "1 failed" in told
    assert f"longest: {nodes[1].label}, 20 s" in told


def test_events_are_a_line_each_and_a_reader_that_leaves_stops_nothing(nodes, tmp_path, capsys):
    tally = Tally(nodes, Store(str(tmp_path / "store")))
    with lines(tmp_path / "events") as tell:
        for outcome in (None, Outcome("done", seconds=1.5)):
            tally.heard(nodes[0], outcome)
            tell(event(nodes[0], outcome, tally))
    start, end = (json.loads(line) for line in (tmp_path / "events").read_text().splitlines())
    assert (start["event"], start["run"]["running"], start["run"]["now"]) == ("start", 1, [nodes[0].label])
    assert (end["event"], end["status"], end["run"]["done"]) == ("end", "done", 1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with lines(pipe) as tell:
        os.close(reader)
        tell({"event": "start"})
        tell({"event": "end"})
    assert capsys.readouterr().err.count("no more events") == 1
    with lines(None) as tell:
        assert tell is None
