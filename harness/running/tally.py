"""How far a run is: what is done, what is left, and how long that may take by what was measured. Knows no torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from unveil.harness.plan.node import Node
from unveil.harness.running.estimate import costs
from unveil.harness.running.execute import Outcome
from unveil.harness.store.artefacts import Store

SETTLED = ("done", "cached", "failed", "blocked", "unscored")


class Tally:
    """Counts what a scheduler tells of its steps.

    Args:
        nodes: All of them.
        store: Where those lie that are known.
        clock: Seconds since whenever.
    """

    def __init__(self, nodes: Sequence[Node], store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.nodes, self.store, self.clock = nodes, store, clock
        self.ended: dict[str, str] = {}  # status by key, since a step that turns out to be damaged ends twice
        self.running: dict[str, tuple[Node, float]] = {}  # and since when
        self.longest: tuple[float, str] = (0.0, "")
        self._counted: Counter[str] = Counter()
        self._costs: dict[str, float] = {}
        self._begun: float | None = None
        self._rest = self._took = self._expected = 0.0
        self._most = 1

    def heard(self, node: Node, outcome: Outcome | None) -> None:
        """As a `harness.running.schedule.Listener`."""
        if outcome is None:
            self._foresee()
            self._settle(node.key, None)
            self.running[node.key] = node, self.clock()
            self._most = max(self._most, len(self.running))
            return
        self.running.pop(node.key, None)
        if not (outcome.status == "cached" and self.ended.get(node.key) == "done"):  # assembled a second time
            self._settle(node.key, outcome.status)
        cost = self._costs.pop(node.key, 0.0)
        self._rest -= cost
        if outcome.status == "done":
            self._took, self._expected = self._took + outcome.seconds, self._expected + cost
            self.longest = max(self.longest, (outcome.seconds, node.label))

    def _settle(self, key: str, status: str | None) -> None:
        """Counts as it goes: looking at all steps at each of them would take a long run's own time."""
        if (before := self.ended.pop(key, None)) is not None:
            self._counted[before] -= 1
        if status is not None:
            self.ended[key] = status
            self._counted[status] += 1

    def _foresee(self) -> None:
        """What all steps may take that are not known; once, when it turns out that there is something to do."""
        if self._begun is not None:
            return
        self._begun = self.clock()
        self._costs = costs([node for node in self.nodes if node.key not in self.ended], self.store)
        self._rest = sum(self._costs.values())

    @property
    def counts(self) -> dict[str, int]:
        """How many steps there are, run now, wait, and have ended in which way."""
        waiting = len(self.nodes) - len(self.ended) - len(self.running)
        named = {how: self._counted[how] for how in SETTLED}
        return {"steps": len(self.nodes), "running": len(self.running), "waiting": waiting, **named}

    @property
    def a_minute(self) -> float | None:
        """Steps computed a minute in this run; None before the first."""
        done = self._counted["done"]
        if self._begun is None or not done or (passed := self.clock() - self._begun) <= 0:
            return None
        return 60 * done / passed

    @property
    def left(self) -> float | None:
        """Seconds that the rest may take, as fast as this run was so far; None before anything was computed."""
        if not self._expected:
            return None
        rest = self._rest * self._took / self._expected
        begun = sum(self.clock() - since for _, since in self.running.values())
        return max(rest - begun, 0.0) / self._most

    def plain(self) -> dict[str, Any]:
        """All of it, for machines."""
        seconds, label = self.longest
        return {
            **self.counts,
            "steps a minute": self.a_minute,
            "seconds left": self.left,
            "longest": {"label": label, "seconds": seconds} if label else None,
            "now": [node.label for node, _ in self.running.values()],
        }
