"""Somebody from outside who compares pictures: nothing to compute, only somebody to be asked by name."""

from __future__ import annotations

from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.wishes import Place
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.comparer import Comparer
from unveil.harness.words.needs import GivenComparer
from unveil.harness.words.run import Run


def answer(asker: Asker, need: GivenComparer, place: Place, number: int) -> Node:  # noqa: ARG001 (as all that answer)
    """Somebody who is asked, about whatever target."""
    use = asker.use("comparers", need.comparer)
    return Node("comparer", f"comparer {use.name}", {"comparer": (use,)})


def read(node: Node, bench: Bench, run: Run) -> Comparer:  # noqa: ARG001 (as all that read)
    """Whoever is asked."""
    comparer: Comparer = node.uses["comparer"][0].make()
    return comparer


def compute(node: Node, bench: Bench, run: Run) -> Artefact:  # noqa: ARG001 (one signature for all stages)
    """Whether answers are yes or no."""
    comparer: Comparer = node.uses["comparer"][0].make()
    return Artefact({"yes or no": comparer.yes_or_no})
