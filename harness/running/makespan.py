"""How long steps take together, when several are computed at a time. Knows no torch."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from unveil.harness.plan.node import Node
from unveil.harness.running.line import Line, ranks


def makespan(nodes: Sequence[Node], seconds: Mapping[str, float], jobs: int) -> float:
    """Seconds from the first start to the last end, in the order that a run starts them.

    Args:
        nodes: Parents before children.
        seconds: What each takes, by key; nothing where it is not named.
        jobs: Steps at a time.
    """
    line, settled, now = Line(nodes, ranks(nodes, seconds)), set[str](), 0.0
    running: list[tuple[float, int]] = []
    started: list[Node] = []
    while True:
        if (node := line.next(settled, lambda _: len(running) < jobs)) is not None:
            heapq.heappush(running, (now + seconds.get(node.key, 0.0), len(started)))
            started.append(node)
        elif running:
            now, which = heapq.heappop(running)
            settled.add(started[which].key)
            line.settled(started[which])
        else:
            return now
