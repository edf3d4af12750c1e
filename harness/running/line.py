"""Steps that wait, for others or for a place; of those that could start, the one with most work behind it is first."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from unveil.harness.plan.node import Node
from unveil.harness.running.resources import Needs, needs


def ranks(nodes: Sequence[Node], seconds: Mapping[str, float]) -> dict[str, float]:
    """How long it takes from a step's start to the end of the longest chain of steps that needs it.

    Args:
        nodes: Parents before children.
        seconds: What each may take, by key; nothing where it is not named.
    """
    found: dict[str, float] = {}
    behind: defaultdict[str, float] = defaultdict(float)
    for node in reversed(nodes):
        found[node.key] = seconds.get(node.key, 0.0) + behind[node.key]
        for parent in node.parents.values():
            behind[parent.key] = max(behind[parent.key], found[node.key])
    return found


class Line:
    """What is to be started when.

    Args:
        nodes: Parents before children.
        first: The higher, the earlier; equal ones, and those not named, in the order of the nodes.
    """

    def __init__(self, nodes: Sequence[Node], first: Mapping[str, float]) -> None:
        self.nodes = list(dict.fromkeys(nodes))
        self._turn = {node.key: (-first.get(node.key, 0.0), i) for i, node in enumerate(self.nodes)}
        self._missing: dict[str, set[str]] = {}
        self._ready: defaultdict[Needs, list[tuple[float, int]]] = defaultdict(list)
        self._children: defaultdict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for key in {parent.key for parent in node.parents.values()}:
                self._children[key].append(node)
            self.join(node, ())

    def join(self, node: Node, settled: Collection[str]) -> None:
        """Puts a node into the line, again where it has been there.

        Args:
            node: One of those that the line was made of, and not in it.
            settled: Keys of those that it need not wait for.
        """
        missing = {parent.key for parent in node.parents.values() if parent.key not in settled}
        if missing:
            self._missing[node.key] = missing
        else:
            heapq.heappush(self._ready[needs(node)], self._turn[node.key])

    def settled(self, node: Node) -> None:
        """Lets those go on that waited for nothing but this one."""
        for child in self._children[node.key]:
            if (missing := self._missing.get(child.key)) is not None:
                missing.discard(node.key)
                if not missing:
                    del self._missing[child.key]
                    heapq.heappush(self._ready[needs(child)], self._turn[child.key])

    def next(self, settled: Collection[str], room: Callable[[Needs], bool]) -> Node | None:
        """Takes the node whose turn it is out of the line; None if there is none that could start now.

        Args:
            settled: Keys of those that are settled. One that was may not be any more: whoever needs it waits again.
            room: Whether one with such needs has a place.
        """
        while waiting := [line for which, line in self._ready.items() if line and room(which)]:
            _, i = heapq.heappop(min(waiting, key=lambda line: line[0]))
            node = self.nodes[i]
            if all(parent.key in settled for parent in node.parents.values()):
                return node
            self.join(node, settled)
        return None
