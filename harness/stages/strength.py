"""Picks how strong a defense is, by training each rung of its ladder and looking at validation alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unveil.harness import plugins
from unveil.harness.canonical import digest
from unveil.harness.errors import PluginError, TrainingError
from unveil.harness.graph import Node
from unveil.harness.intervals import to_figure
from unveil.harness.recipe import Recipe
from unveil.harness.rows import Figure
from unveil.harness.stages.bench import Bench
from unveil.harness.store import Artefact
from unveil.harness.training import fit, predict
from unveil.harness.types import Data, Defense, Direction, Measurement, Run


def rungs(node: Node, defense: Defense, bench: Bench, data: Data, run: Run) -> list[tuple[str, Defense]]:
    """What is tried, weakest first, named: strength zero, then the sweep's values or the defense's own ladder.

    Raises:
        PluginError: If there is nothing to try.
    """
    before = bench.defenses(node)[:-1]
    classifier = bench.untrained(node, data.classes, data.train.shape, run, before)
    use = node.uses["defenses"][-1]
    if "sweep" in node.options:
        ((setting, values),) = node.options["sweep"].items()
        ladder = [use.having({**use.spec.settings, setting: value}).make() for value in values]
    else:
        ladder = list(defense.ladder(classifier))
    zero = defense.at_zero()
    if not ladder or zero is None:
        raise PluginError(
            f"{use.spec.use} has no ladder of strengths to pick from",
            "a defense with `ladder` and `at_zero`, or a sweep",
            "give the values: sweep = { setting = [weakest, ..., strongest] }",
        )
    return [("strength zero", zero), *((changed(defense, rung), rung) for rung in ladder)]


def changed(defense: Defense, rung: Defense) -> str:
    """The settings in which a rung differs from the defense."""
    before, after = plugins.dump(defense), plugins.dump(rung)
    return ", ".join(f"{name}={value}" for name, value in after.items() if before[name] != value) or "as it is"


def pick(found: Sequence[Mapping[str, Any]], cost: float) -> int:
    """Index of the strongest rung that is within ``cost`` of the first one, strength zero, in validation accuracy."""
    least = found[0]["validation"]["value"] - cost - 1e-12
    return max(i for i, one in enumerate(found) if "error" not in one and one["validation"]["value"] >= least)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """The settings that were picked, and everything that was tried."""
    data = bench.data(node.parents["data"])
    defense = bench.defenses(node)[-1]
    state = run.load("rungs") or {"found": []}
    found: list[dict[str, Any]] = state["found"]
    named = rungs(node, defense, bench, data, run)
    for i, (name, rung) in list(enumerate(named))[len(found) :]:
        found.append({"name": name, "settings": plugins.dump(rung), **_try(node, rung, i, bench, data, run)})
        run.save("rungs", {"found": found})
    if "error" in found[0]:
        raise TrainingError(f"without the defense training fails: {found[0]['error']}", "a target that trains")
    chosen = pick(found, node.options["cost"])
    return Artefact(
        {"settings": found[chosen]["settings"], "tried": found, "chosen": chosen, "said": said(found, chosen)}
    )


def _try(node: Node, rung: Defense, number: int, bench: Bench, data: Data, run: Run) -> dict[str, Any]:
    """Trains a rung exactly as the target would be, from the same random numbers."""
    identity = digest({"kind": "target", "stream": dict(node.stream)})
    own = dataclasses.replace(run, identity=identity, scratch=run.scratch and run.scratch / str(number))
    stack = [*bench.defenses(node)[:-1], rung]
    recipe = plugins.validated(Recipe, "recipe", node.options["recipe"], Path())
    try:
        classifier = bench.untrained(node, data.classes, data.train.shape, own, stack)
        fit(classifier, stack, data.train, data.validation, recipe, own)
    except (PluginError, TrainingError) as error:
        return {"error": str(error)}
    right = (predict(classifier, data.validation, device=run.device).argmax(1) == data.validation.labels).double()
    people = data.validation.labels.numpy()
    measured = Measurement(
        "validation accuracy", "share", Direction.USEFUL, 0.0, 1.0, right.numpy(), people, samples=len(right)
    )
    frozen, trainable = classifier.count()
    return {
        "validation": to_figure("strength", None, measured).plain(),
        "parameters": {"frozen": frozen, "trainable": trainable},
    }


def said(found: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """What was tried, in one line."""
    parts = []
    for i, one in enumerate(found):
        figure = None if "error" in one else Figure.model_validate(one["validation"])
        number = "failed" if figure is None else f"{figure.value:.1%} [{figure.low:.1%}, {figure.high:.1%}]"
        parts.append(f"{'-> ' * (i == chosen)}{one['name']}: {number}")
    return "; ".join(parts)
