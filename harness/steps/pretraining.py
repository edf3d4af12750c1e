"""Trains a model on the data set's public people: initial weights for all that start from it."""

from __future__ import annotations

from unveil.harness.plan.graph import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.fitting import kept, train
from unveil.harness.steps.people import hold_out, known_people
from unveil.harness.store.artefacts import Artefact
from unveil.harness.types import Run
from unveil.harness.words.errors import DataError

FEWEST = 5  # pictures of a public person that make a class


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """Weights trained to tell public people apart."""
    public = known_people(bench.data(node.parents["data"]).public, FEWEST)
    classes = int(public.labels.max()) + 1 if len(public) else 0
    if classes < 2:
        raise DataError(
            f"the public pictures show {classes} people with at least {FEWEST} pictures each",
            "two or more, to train initial weights on",
            "remove `pretrain` from the plan, or give public pictures with identities",
        )
    own, validation = hold_out(public, 0.1, run.generator("public split"))
    classifier = bench.untrained(node, classes, public.shape, run)
    facts = train(node, classifier, (), own, validation, run)
    return kept(classifier, public.shape, facts)
