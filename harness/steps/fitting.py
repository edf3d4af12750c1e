"""What training a target, a judge and initial weights have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unveil.harness.plan import plugins
from unveil.harness.plan.graph import Node
from unveil.harness.store.artefacts import Artefact
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Defense, Images, Run
from unveil.harness.words.recipe import Recipe


def train(
    node: Node, classifier: Classifier, defenses: Sequence[Defense], train: Images, validation: Images, run: Run
) -> dict[str, Any]:
    """Trains with the node's recipe.

    Returns:
        What the record says of the training: curves, the epoch that was chosen, and facts for the row.
    """
    recipe = plugins.validated(Recipe, "recipe", node.options["recipe"], Path())
    history = fit(classifier, defenses, train, validation, recipe, run)
    return {"curves": dict(history.curves), "chosen": history.chosen, "facts": dict(history.facts)}


def kept(classifier: Classifier, shape: tuple[int, int, int], facts: Mapping[str, Any]) -> Artefact:
    """A trained classifier as an artefact that ``Bench.classifier`` can load."""
    return Artefact({"classes": classifier.classes, "shape": list(shape), **facts}, classifier.state_dict())
