"""Trains a classifier on private pictures, under a defense or a stack of them."""

from __future__ import annotations

from unveil.harness.plan.graph import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.fitting import kept, train
from unveil.harness.store.artefacts import Artefact
from unveil.harness.types import Run


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """A defended target, before the defenses' ``finish``, which is applied whenever it is loaded."""
    data = bench.data(node.parents["data"])
    classifier = bench.untrained(node, data.classes, data.train.shape, run)
    frozen, trainable = classifier.count()
    facts = train(node, classifier, bench.defenses(node), data.train, data.validation, run)
    return kept(classifier, data.train.shape, {"frozen": frozen, "trainable": trainable, **facts})
