"""What steps work with: the artefacts of their nodes' parents, and the last few things that were made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from unveil.harness.plan.node import Node
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.memo import Memo
from unveil.harness.words.run import Run

T = TypeVar("T")
KEPT = 6  # things in memory at once: data, target, prior, students and a little more
JUDGES = 4  # evaluators in memory at once: each cell asks all of them, and metrics remember what they saw
MODELS = 4  # models as they are, of which the same holds


class Bench:
    """Loads what a node needs and keeps the last few things loaded.

    Args:
        store: Where artefacts are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: Memo[object] = Memo(KEPT)
        self._judges: Memo[object] = Memo(JUDGES)
        self._models: Memo[object] = Memo(MODELS)

    def keep(self, node: Node, load: Callable[[], T], device: torch.device | None = None, form: str = "") -> T:
        """What was made of a node's artefact, made again if that was long ago.

        Args:
            node: Whose artefact.
            load: Makes it.
            device: Where it is.
            form: What was made of it, where that may be several things.
        """
        kept = {"evaluator": self._judges, "model": self._models}.get(node.kind, self._kept)
        return kept.get((node.key, str(device), form), load)  # type: ignore[return-value]

    def artefact(self, node: Node) -> Artefact:
        """What the node computed."""
        return self.store.load(node.key)


def owned(node: Node, run: Run) -> Run:
    """A run with a node's own random numbers, on the device of another run, and beside it: no checkpoint, no notes."""
    return Run(node.randomness, run.device, run.mixed_precision)
