"""Picks how strong a defense is, from a ladder of strengths that were tried on validation pictures."""

from __future__ import annotations

from collections.abc import Sequence

from unveil.harness.figures.tries import accuracy
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.node import Node, step
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.errors import TrainingError
from unveil.harness.words.run import Run

ROUNDING = 1e-12  # of a difference of two shares


COST = 0.02  # share of validation accuracy that a strength picked without instruction may cost


def ask(target: Node, part: DefensePart) -> dict[str, Node]:
    """A node for each defense of a stack whose strength is to be picked; it knows those before it.

    Its parent is the ladder, which trains every rung and knows no cost: another cost trains nothing again.

    Args:
        target: With the whole stack, without strengths.
        part: What the plan says of it.

    Raises:
        PluginError: If there is nothing to pick from.
    """
    found: dict[str, Node] = {}
    for i, use in enumerate(target.uses["defenses"]):
        tuned = part.tune is not None and i == len(target.uses["defenses"]) - 1
        if tuned or use.plugin.open:
            tries = step("ladder").ask(target, i, part if tuned and part.sweep else None, found)
            cost = {"cost": COST if part.tune is None else part.tune}
            found[f"strength {i}"] = Node(
                "strength", tries.label.replace("ladder", "strength", 1), {}, cost, {"ladder": tries}
            )
    return found


def compute(node: Node, bench: Bench, run: Run) -> Artefact:  # noqa: ARG001
    """The settings that were picked, and which rung they are."""
    tried = bench.artefact(node.parents["ladder"]).record["tried"]
    if "error" in tried[0]:
        raise TrainingError(f"training fails without the defense: {tried[0]['error']}")
    chosen = pick([None if "error" in one else accuracy(one) for one in tried], node.options["cost"])
    return Artefact({"chosen": chosen, "settings": tried[chosen]["settings"]})


def pick(accuracies: Sequence[float | None], cost: float) -> int:
    """Index of the strongest rung that is within ``cost`` of the first one, strength zero.

    Args:
        accuracies: Share of validation pictures that each rung recognises, weakest first; None for one that failed.
        cost: Share that may be lost, from 0.

    Example:
        >>> pick([0.9, 0.92, None, 0.885, 0.7], cost=0.02)
        3
    """
    zero = accuracies[0]
    assert zero is not None
    return max(i for i, found in enumerate(accuracies) if found is not None and zero - found <= cost + ROUNDING)
