"""What targets, evaluators, surrogates and initial weights share: how they are built, trained and read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from unveil.harness.plan import settings
from unveil.harness.plan.node import Node, step
from unveil.harness.steps.bench import Bench, owned
from unveil.harness.steps.sizes import sized
from unveil.harness.store.artefact import Artefact
from unveil.harness.training.fit import fit
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.defense import Defense
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.images import Images
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

NOT_VALIDATED = "the last: no private pictures are set aside to select one on"


def read(node: Node, bench: Bench, run: Run) -> Classifier:
    """A trained classifier in evaluation mode; do not change it.

    It is the same whoever loads it: what its model and its defenses draw, they draw from its own random numbers.

    Args:
        node: Whose.
        bench: Where it is.
        run: The loader's, which says on what device.
    """
    if "trained" in node.uses:  # by somebody else
        given: Classifier = step("given_target").read(node, bench, run)
        return given
    own = owned(node, run)

    def load() -> Classifier:
        artefact = bench.artefact(node)
        classifier = untrained(node, bench, artefact.record["classes"], tuple(artefact.record["shape"]), own)
        if node.kind == "evaluator":
            step("evaluator").refit(node, classifier, artefact.tensors)
        fill(classifier, artefact.tensors, node.label)
        for defense in defenses(node, bench):
            classifier = defense.finish(classifier, own)
        return classifier.to(run.device).eval().requires_grad_(False)

    return bench.keep(node, load, run.device)


def untrained(
    node: Node,
    bench: Bench,
    classes: int,
    shape: tuple[int, int, int],
    run: Run,
    prepared: Sequence[Defense] | None = None,
) -> Classifier:
    """The architecture of a target, evaluator, student or pretraining node, defenses prepared.

    Args:
        node: Whose model and initial weights.
        bench: Where its parents are.
        classes: Number of classes.
        shape: Of a picture, ``(C, H, W)``.
        run: The node's own randomness, never that of whoever loads it.
        prepared: Defenses to prepare instead of the node's own.
    """
    classifier = sized(node.uses["model"][0].make(), classes, shape, node.options.get("crop"), run)
    if "weights" in node.parents:
        body = {name: t for name, t in bench.artefact(node.parents["weights"]).tensors.items() if not _head(name)}
        fill(classifier, body, node.parents["weights"].label, head=False)
    for defense in defenses(node, bench) if prepared is None else prepared:
        classifier = defense.prepare(classifier, run)
    return classifier


def defenses(node: Node, bench: Bench) -> list[Defense]:
    """The stack of a node, with the strengths that were picked for it."""
    found: list[Defense] = []
    for i, use in enumerate(node.uses.get("defenses", ())):
        picked = node.parents.get(f"strength {i}")
        changed = {} if picked is None else bench.artefact(picked).record["settings"]
        found.append(use.having({**use.spec.settings, **changed}).make())
    return found


def train(
    node: Node, classifier: Classifier, defenses: Sequence[Defense], train: Images, validation: Images, run: Run
) -> dict[str, Any]:
    """Trains with the node's recipe; where there is nothing to select an epoch on, the last one is kept.

    Returns:
        What the record says of the training: curves, the epoch that was chosen, and facts for the row.
    """
    recipe = settings.validated(Recipe, "recipe", node.options["recipe"], Path())
    if len(validation):
        history = fit(classifier, defenses, train, validation, recipe, run)
        return {"curves": dict(history.curves), "chosen": history.chosen, "facts": dict(history.facts)}
    history = fit(classifier, defenses, train, validation, dataclasses.replace(recipe, select="last"), run)
    return {"curves": dict(history.curves), "chosen": None, "facts": {**history.facts, "epoch kept": NOT_VALIDATED}}


def trained(classifier: Classifier, shape: tuple[int, int, int], facts: Mapping[str, Any]) -> Artefact:
    """A trained classifier as an artefact that ``read`` can load."""
    return Artefact({"classes": classifier.classes, "shape": list(shape), **facts}, classifier.state_dict())


def _head(name: str) -> bool:
    return name.startswith("head.")


def fill(classifier: Classifier, state: Mapping[str, Tensor], source: str, *, head: bool = True) -> None:
    """Loads a state dict, strictly.

    Args:
        classifier: What to fill.
        state: Tensors by name.
        source: Where they come from, for the error.
        head: Whether the head must be among them.

    Raises:
        WeightsError: If names or shapes differ.
    """
    own = classifier.state_dict()
    wanted = {name for name in own if head or not _head(name)}
    wrong = sorted(wanted ^ set(state)) or [name for name in wanted if own[name].shape != state[name].shape]
    if wrong:
        raise WeightsError(
            f"{source} does not fit the model: {', '.join(wrong[:5])} missing, unexpected or of another shape",
            f"{len(wanted)} tensors of the model's own names and shapes",
            "train it with the same model settings",
        )
    classifier.load_state_dict(dict(state), strict=head)
