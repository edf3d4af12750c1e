"""Somebody from outside who compares pictures: nothing to compute, only somebody to be asked by name."""

from __future__ import annotations

from unveil.harness.plan.graph import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefacts import Artefact
from unveil.harness.types import Comparer, Run


def compute(node: Node, bench: Bench, run: Run) -> Artefact:  # noqa: ARG001 (one signature for all stages)
    """Whether answers are yes or no."""
    comparer: Comparer = node.uses["comparer"][0].make()
    return Artefact({"yes or no": comparer.yes_or_no})
