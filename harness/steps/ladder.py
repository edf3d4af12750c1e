"""Trains a target with each strength of a defense, and sees how much of the validation pictures it recognises."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unveil.harness.plan import settings as plugin_settings
from unveil.harness.plan.asker import seed_label
from unveil.harness.plan.canonical import digest
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.node import Node, Use
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.training.fit import fit, predict
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.defense import Defense
from unveil.harness.words.errors import DataError, PluginError, TrainingError
from unveil.harness.words.images import Data, Images
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run


def ask(target: Node, place: int, swept: DefensePart | None, picked: Mapping[str, Node]) -> Node:
    """A ladder for one defense of a target's stack.

    Args:
        target: With the whole stack.
        place: The defense's in the stack.
        swept: What gives the values to try; None takes the defense's own ladder.
        picked: The strengths of the defenses before it.

    Raises:
        PluginError: If there is nothing to pick from.
    """
    stack = target.uses["defenses"][: place + 1]
    values = {} if swept is None else _values(stack[-1], swept)
    _require_rungs(stack[-1], values)
    name = "+".join(use.name for use in stack) + seed_label(target.options["seed"])
    uses, options = {**target.uses, "defenses": stack}, {**target.options, "values": values}
    return Node("ladder", f"ladder of {name}", uses, options, {**target.parents, **picked}, target.stream)


def _values(use: Use, part: DefensePart) -> dict[str, list[Any]]:
    """The swept setting and its values as a hash can have them, each tried out on the plugin."""
    _, setting, values = part.swept
    made = [use.having({**use.spec.settings, setting: value}).make() for value in values]
    return {setting: [plugin_settings.dump(one)[setting] for one in made]}


def _require_rungs(use: Use, values: Mapping[str, Any]) -> None:
    made = use.plugin
    if made.at_zero() is None:
        raise PluginError(
            f"{use.spec.use} declares no strength zero (at_zero returns None), which a cost is counted from",
            "a defense with `at_zero`",
            "set its strength by hand, or trace a curve with sweep and without tune",
        )
    if not values and type(made).ladder is Defense.ladder:
        raise PluginError(
            f"{use.spec.use} has no ladder of strengths to pick from",
            "a defense with `ladder`, or the values in the plan",
            "give them: sweep = { setting = [weakest, ..., strongest] }",
        )


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """Everything that was tried, weakest first. An interrupted ladder goes on with the rung it was at."""
    data = datasets.read(node.parents["data"], bench)
    if not len(data.validation):
        raise DataError("no validation pictures to pick a strength on", "some", "give the validation split a share")
    defense = classifiers.defenses(node, bench)[-1]
    tried: list[dict[str, Any]] = (run.load("tried") or {"tried": []})["tried"]
    for i, (name, rung) in enumerate(rungs(node, defense, bench, data, run)):
        if i < len(tried):
            continue
        tried.append({"name": name, "settings": changes(defense, rung), **_try(node, rung, i, bench, data, run)})
        run.save("tried", {"tried": tried})
    return Artefact({"tried": tried})


def rungs(node: Node, defense: Defense, bench: Bench, data: Data, run: Run) -> list[tuple[str, Defense]]:
    """What is tried, named: strength zero, then the plan's values or the defense's own ladder.

    Raises:
        PluginError: If there is nothing to try.
    """
    use = node.uses["defenses"][-1]
    if node.options["values"]:
        ((setting, values),) = node.options["values"].items()
        ladder = [use.having({**use.spec.settings, setting: value}).make() for value in values]
    else:
        before = classifiers.defenses(node, bench)[:-1]
        ladder = list(defense.ladder(classifiers.untrained(node, bench, data.classes, data.train.shape, run, before)))
    zero = defense.at_zero()
    if not ladder or zero is None:
        raise PluginError(
            f"{use.spec.use} has no rung above strength zero for this model",
            "a ladder with at least one",
            "give the values: sweep = { setting = [weakest, ..., strongest] }",
        )
    return [("strength zero", zero), *((_name(changes(defense, rung)), rung) for rung in ladder)]


def changes(defense: Defense, rung: Defense) -> dict[str, Any]:
    """The settings in which a rung differs from the defense as asked for."""
    before, after = plugin_settings.dump(defense), plugin_settings.dump(rung)
    return {name: value for name, value in after.items() if before[name] != value}


def _name(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "as it is"


def _try(node: Node, rung: Defense, number: int, bench: Bench, data: Data, run: Run) -> dict[str, Any]:
    """Trains a rung exactly as the target would be, from the same random numbers."""
    identity = digest({"kind": "target", "stream": dict(node.stream)})
    own = dataclasses.replace(run, identity=identity, scratch=run.scratch and run.scratch / str(number))
    stack = [*classifiers.defenses(node, bench)[:-1], rung]
    recipe = plugin_settings.validated(Recipe, "recipe", node.options["recipe"], Path())
    try:
        classifier = classifiers.untrained(node, bench, data.classes, data.train.shape, own, stack)
        frozen, trainable = classifier.count()
        fit(classifier, stack, data.train, data.validation, recipe, own)
        run.mixed_precision |= own.mixed_precision  # what is told of the ladder: whether a rung was
        for defense in stack:
            classifier = defense.finish(classifier, own)
    except (PluginError, TrainingError) as error:  # this strength cannot be had; anything else is a bug
        return {"error": str(error)}
    people = _recognised(classifier.to(run.device), data.validation, run)
    return {"people": people, "frozen": frozen, "trainable": trainable}


def _recognised(classifier: Classifier, images: Images, run: Run) -> dict[str, list[int]]:
    """Recognised pictures and all pictures, by class."""
    right = predict(classifier, images, device=run.device).argmax(1) == images.labels
    people = sorted(set(images.labels.tolist()))
    mine = {person: images.labels == person for person in people}
    return {str(person): [int(right[own].sum()), int(own.sum())] for person, own in mine.items()}
