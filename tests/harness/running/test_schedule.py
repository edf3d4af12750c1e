"""What the scheduler gives a pool, and when."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Outcome, Surroundings
from unveil.harness.running.line import Line, ranks
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.resources import Needs, needs
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefacts import Store


class Threads:
    """A pool of so many places for networks, and of one for what needs none; nodes only pretend to be computed.

    Args:
        places: For networks.
        work: What they do instead.
    """

    def __init__(self, places: int, work: Any) -> None:
        self.places = {Needs.GPU: places, Needs.CPU: 1}
        self.work, self.started, self.busy, self.most = work, list[str](), list[Needs](), 0
        self.executor = ThreadPoolExecutor(places + 1)

    def room(self, which: Needs) -> bool:
        return self.busy.count(which) < self.places[which]

    def submit(self, work: Any, node: Node, around: Surroundings) -> Future[Outcome]:
        assert self.room(needs(node))
        self.started.append(node.label)
        self.busy.append(needs(node))
        self.most = max(self.most, len(self.busy))
        return self.executor.submit(self._compute, node)

    def _compute(self, node: Node) -> Outcome:
        try:
            self.work(node)
        finally:
            self.busy.remove(needs(node))
        return Outcome("done")


def node(label: str, *parents: Node, kind: str = "target") -> Node:
    return Node(kind, label, options={"label": label}, parents={one.label: one for one in parents})


def run(nodes: list[Node], pool: Any, folder: Any, seconds: dict[str, float]) -> dict[str, Outcome]:
    store = Store(str(folder))
    first = ranks(nodes, {one.key: seconds.get(one.label, 1.0) for one in nodes})
    return run_nodes(nodes, Surroundings(store.url), pool, lambda node, outcome: None, store, first)


def test_long_chains_go_first_and_nothing_is_submitted_without_room(tmp_path: Any) -> None:
    data = node("data", kind="data")
    short, long = [node(f"short {i}", data) for i in range(4)], node("long", data)
    after = node("after", long)
    last = threading.Event()

    def work(one: Node) -> None:
        if one.label == "short 0":
            assert last.wait(30)
        elif one.label == "after":
            last.set()

    pool = Threads(2, work)
    outcomes = run([data, *short, long, after], pool, tmp_path, {"after": 9.0})
    assert all(outcome.good for outcome in outcomes.values())
    assert pool.started[:4] == ["data", "long", "short 0", "after"]
    assert sorted(pool.started[4:]) == ["short 1", "short 2", "short 3"]
    assert pool.most == 2


def test_what_needs_no_network_does_not_wait_for_a_place_that_does(tmp_path: Any) -> None:
    slow, drawn = node("slow"), node("drawn", kind="picture")
    done = threading.Event()

    def work(one: Node) -> None:
        if one is slow:
            assert done.wait(30)
        else:
            done.set()

    pool = Threads(1, work)
    run([slow, node("next"), drawn], pool, tmp_path, {"drawn": 0.0})
    assert pool.started == ["slow", "drawn", "next"]


def test_a_step_whose_parent_is_taken_away_waits_again() -> None:
    parent = node("parent")
    left, right = node("left", parent), node("right", parent)
    line, settled = Line([parent, left, right], {}), dict[str, Outcome]()

    def taken() -> Node | None:
        return line.next(settled, lambda which: True)

    assert taken() is parent
    assert taken() is None
    settled[parent.key] = Outcome("done")
    line.settled(parent)
    assert taken() is left
    del settled[parent.key]  # it turned out to be damaged
    line.join(parent, settled)
    line.join(left, settled)
    assert [taken(), taken()] == [parent, None]
    settled[parent.key] = Outcome("done")
    line.settled(parent)
    assert [taken(), taken(), taken()] == [left, right, None]


def test_many_steps_are_put_in_order_without_looking_at_all_of_them_each_time() -> None:
    count = 3000
    nodes = [node(str(i)) for i in range(count)]
    looked = 0

    class Counted(dict[str, Outcome]):
        def __contains__(self, key: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(key)

    line, settled = Line(nodes, {}), Counted()
    while (one := line.next(settled, lambda which: True)) is not None:
        settled[one.key] = Outcome("done")
        line.settled(one)
    assert len(settled) == count
    assert looked <= count


def test_an_inline_pool_has_room_and_raises_what_stops_a_run() -> None:
    def interrupted(node: Node, around: Surroundings) -> Outcome:
        raise KeyboardInterrupt

    pool = InlinePool()
    assert all(pool.room(which) for which in Needs)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(interrupted, node("x"), Surroundings(""))
