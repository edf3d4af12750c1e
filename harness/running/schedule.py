"""Runs nodes in order of need, and goes on with the rest when one fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import MappingProxyType

from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Outcome, Surroundings, cached, compute, describe
from unveil.harness.running.line import Line
from unveil.harness.running.pools import Pool
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import DamageError, StoreError

Listener = Callable[[Node, Outcome | None], None]
"""Called with a node and None when it starts, and with its outcome when it ends; again if it has to be repeated."""

TRIES = 3  # times that a node is started whose parents turn out to be damaged; a disk that goes on like that is broken


def run_nodes(
    nodes: Sequence[Node],
    around: Surroundings,
    pool: Pool,
    heard: Listener,
    store: Store | None = None,
    first: Mapping[str, float] = MappingProxyType({}),
    expected: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Outcome]:
    """Computes every node that is not in the store yet, and again what is there and turns out to be damaged.

    Args:
        nodes: Parents before children.
        around: Store, device, progress.
        pool: Where to compute.
        heard: Told of every start and end.
        store: The store of ``around``, where the caller has one: what it has read is not read again.
        first: Of steps that could start, the highest does, by key; see `harness.running.line.ranks`.
        expected: Seconds that steps may take, by key, where ``around`` has a deadline.

    Returns:
        Outcome per key.

    Raises:
        StoreError: If the store cannot be written, or does not keep what is written; what was stored before is kept.
    """
    return _Schedule(around, pool, heard, store or Store(around.store), Line(nodes, first), expected).run()


class _Schedule:
    def __init__(
        self, around: Surroundings, pool: Pool, heard: Listener, store: Store, line: Line, expected: Mapping[str, float]
    ) -> None:
        self.around, self.pool, self.heard, self.store, self.line = around, pool, heard, store, line
        self.expected = expected
        self.outcomes: dict[str, Outcome] = {}
        self.running: dict[Future[Outcome], Node] = {}
        self.starts: Counter[str] = Counter()

    def run(self) -> dict[str, Outcome]:
        self.store.prefetch(node.key for node in self.line.nodes)
        while True:
            node = self.line.next(self.outcomes, self.pool.room)
            if node is not None:
                self.start(node)
            elif self.running:
                wait(self.running, return_when=FIRST_COMPLETED)
            else:
                return self.outcomes
            for future in [f for f in self.running if f.done()]:
                self.gather(self.running.pop(future), future)

    def start(self, node: Node) -> None:
        if (known := without_work(node, self.store, self.outcomes)) is not None:
            self.settle(node, known)
            return
        end = self.around.deadline
        if end is not None and (why := end.refusal(node, self.expected.get(node.key, 0.0))):
            self.settle(node, Outcome("blocked", why))
            return
        self.heard(node, None)
        self.starts[node.key] += 1
        self.running[self.pool.submit(compute, node, self.around)] = node

    def gather(self, node: Node, future: Future[Outcome]) -> None:
        if isinstance(future.exception(), DamageError) and self.starts[node.key] < TRIES:
            self.repeat(node)
        else:
            self.settle(node, _outcome(future))

    def repeat(self, node: Node) -> None:
        """Puts a node back in line, after those that it needs and that are not there any more."""
        done = [n for n in dict.fromkeys(node.lineage()) if n.key in self.outcomes and self.outcomes[n.key].good]
        self.store.forget(n.key for n in done)
        gone = [n for n in done if not self.store.has(n.key)]
        for one in gone:
            del self.outcomes[one.key]
        for one in [*gone, node]:
            self.line.join(one, self.outcomes)

    def settle(self, node: Node, outcome: Outcome) -> None:
        self.outcomes[node.key] = outcome
        self.line.settled(node)
        self.heard(node, outcome)


def without_work(node: Node, store: Store, outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """The outcome of a node that is in the store or cannot be computed; None if there is work to do."""
    bad = [p for p in node.parents.values() if not outcomes[p.key].good]
    if bad:
        cause = outcomes[bad[0].key]
        if node.kind == "measure" and all(outcomes[p.key].status == "unscored" for p in bad):
            return Outcome("unscored", cause.error)
        return Outcome("blocked", cause.error if cause.status == "blocked" else f"{bad[0].label} failed: {cause.error}")
    return cached(node, store) if store.usable(node.key) else None


def _outcome(future: Future[Outcome]) -> Outcome:
    error = future.exception()
    if isinstance(error, StoreError):
        raise error
    return future.result() if error is None else Outcome("failed", describe(error))
