"""What a second worker brings, and what it takes to give work to many: processors, steps and seconds are stated."""

import os
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic

import pytest

from unveil.harness.audit import prepare
from unveil.harness.plan.node import Node
from unveil.harness.running.devices import surroundings
from unveil.harness.running.execute import Outcome, Surroundings
from unveil.harness.running.pools import pooling
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefacts import Store
from unveil.harness.words.names import Precision


@contextmanager
def processors(count):
    """Only so many in the block, for this process and those that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def seconds(folder, workers):
    """Of the quick preset in a new store, by so many workers on as many processors, a thread each; and its rows."""
    with processors(workers):
        audit, pool = prepare("quick", folder / str(workers)), pooling("processes", workers, workers)
        begun = monotonic()
        around = surroundings(audit.store, "cpu", Precision.FULL, compiled=False, pool=pool)
        rows = audit.results(around, lambda *_: None, pool).rows
        taken = monotonic() - begun
    assert {row.status for row in rows} == {"done"}
    return taken, [row.plain() for row in rows]


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two processors are needed")
def test_two_workers_finish_the_quick_matrix_sooner_than_one(benchmark, tmp_path):
    alone, rows = seconds(tmp_path, 1)
    found = benchmark.pedantic(seconds, args=(tmp_path, 2), rounds=1)
    if benchmark.stats is not None:
        ratio = round(alone / benchmark.stats.stats.min, 2)
        benchmark.extra_info.update({"one worker, one processor, s": round(alone), "times as fast on two": ratio})
    assert found[1] == rows


class Nothing:
    """A pool that is done at once."""

    def room(self, *_):
        return True

    def submit(self, *_):
        future = Future()
        future.set_result(Outcome("done"))
        return future


@pytest.mark.parametrize("count", [2_000, 20_000])
def test_steps_that_do_nothing(benchmark, count, tmp_path):
    store, first = Store(str(tmp_path)), Node("data", "data")
    targets = [Node("target", f"target {i}", options={"i": i}, parents={"data": first}) for i in range(count // 10)]
    each = [
        Node("measure", f"measure {i}", options={"i": i}, parents={"target": targets[i % len(targets)]})
        for i in range(count - len(targets) - 1)
    ]
    nodes = [first, *targets, *each]
    assert len({node.key for node in nodes}) == count  # made before the clock starts: planning has its own benchmark

    def schedule():
        return run_nodes(nodes, Surroundings(store.url), Nothing(), lambda *_: None, store)

    assert len(benchmark.pedantic(schedule, rounds=3)) == count
    if benchmark.stats is not None:
        benchmark.extra_info["ms per step"] = round(1000 * benchmark.stats.stats.min / count, 3)
