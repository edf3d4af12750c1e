"""What steps take together."""

import pytest

from unveil.harness.plan.node import Node
from unveil.harness.running.makespan import makespan


def test_steps_wait_for_their_parents_and_for_a_place():
    data = Node("data", "data")
    targets = [Node("target", f"target {i}", options={"i": i}, parents={"data": data}) for i in range(3)]
    attack = Node("attack", "attack", parents={"target": targets[0]})
    nodes = [data, *targets, attack]
    seconds = {data.key: 1.0, attack.key: 5.0, **{one.key: 4.0 for one in targets}}
    assert makespan(nodes, seconds, 1) == pytest.approx(18)
    assert makespan(nodes, seconds, 2) == pytest.approx(10)  # the attacked target is first: 1 + 4 + 5, others beside it
    assert makespan(nodes, seconds, 9) == pytest.approx(10)
    assert makespan([], {}, 2) == 0
