"""Runs nodes in order of need, and goes on with the rest when one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from unveil.harness.errors import StoreError
from unveil.harness.execute import Outcome, Surroundings, compute, describe
from unveil.harness.graph import Node
from unveil.harness.pools import Pool
from unveil.harness.store import Store

Listener = Callable[[Node, Outcome | None], None]
"""Called with a node and None when it starts, and with its outcome when it ends."""


def run_nodes(nodes: Sequence[Node], around: Surroundings, pool: Pool, heard: Listener) -> dict[str, Outcome]:
    """Computes every node that is not in the store yet.

    Args:
        nodes: Parents before children.
        around: Store, device, progress.
        pool: Where to compute.
        heard: Told of every start and end.

    Returns:
        Outcome per key.

    Raises:
        StoreError: If the store cannot be written; what was stored before is kept.
    """
    store, waiting = Store(around.store), list(nodes)
    outcomes: dict[str, Outcome] = {}
    running: dict[Future[Outcome], Node] = {}

    def settle(node: Node, outcome: Outcome) -> None:
        outcomes[node.key] = outcome
        heard(node, outcome)

    while waiting or running:
        node = next((n for n in waiting if all(p.key in outcomes for p in n.parents.values())), None)
        if node is None:
            wait(running, return_when=FIRST_COMPLETED)
        else:
            waiting.remove(node)
            if (known := without_work(node, store, outcomes)) is not None:
                settle(node, known)
            else:
                heard(node, None)
                running[pool.submit(compute, node, around)] = node
        for future in [f for f in running if f.done()]:
            settle(running.pop(future), _outcome(future))
    return outcomes


def without_work(node: Node, store: Store, outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """The outcome of a node that is in the store or cannot be computed; None if there is work to do."""
    bad = [p for p in node.parents.values() if not outcomes[p.key].good]
    if bad:
        cause = outcomes[bad[0].key]
        return Outcome("blocked", cause.error if cause.status == "blocked" else f"{bad[0].label} failed: {cause.error}")
    if store.has(node.key):
        return Outcome("cached", seconds=float(store.provenance(node.key)["seconds"]))
    return None


def _outcome(future: Future[Outcome]) -> Outcome:
    error = future.exception()
    if isinstance(error, StoreError):
        raise error
    return future.result() if error is None else Outcome("failed", describe(error))
