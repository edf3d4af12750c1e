"""Trains a classifier on private pictures, under a defense or a stack of them."""

from __future__ import annotations

import dataclasses

from unveil.harness.plan.asker import Asker, seed_label
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.node import Node, step
from unveil.harness.plan.parts import TargetPart
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.classifiers import train, trained
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.run import Run


def ask(asker: Asker, part: TargetPart, defense: DefensePart, data: Node, seed: int) -> Node:
    """A model of the plan under a defense or a stack of them."""
    model = asker.use("models", part.spec)
    uses = {"model": (model,), "defenses": tuple(asker.use("defenses", spec) for spec in defense.stack)}
    options = {"recipe": asker.recipe(part.recipe, defense.recipe), "seed": seed, **part.view}
    parents = {"data": data, **step("pretraining").ask(asker, part, data)}
    stream = {"model": model.question, "seed": seed, "data": data.identity}
    label = f"target {part.label} with {defense.label}{seed_label(seed)}"
    bare = Node("target", label, uses, options, parents, stream)
    return dataclasses.replace(bare, parents={**parents, **step("strength").ask(bare, defense)})


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """A defended target, before the defenses' ``finish``, which is applied whenever it is loaded."""
    data = datasets.read(node.parents["data"], bench)
    classifier = classifiers.untrained(node, bench, data.classes, data.train.shape, run)
    frozen, trainable = classifier.count()
    facts = train(node, classifier, classifiers.defenses(node, bench), data.train, data.validation, run)
    counted = {"frozen": frozen, "trainable": trainable, "frozen layers": classifier.frozen_layers}
    return trained(classifier, data.train.shape, {**counted, **facts})
