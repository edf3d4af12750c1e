"""Trains a model on the data set's public people: initial weights for all that start from it."""

from __future__ import annotations

from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.plan.parts import TargetPart
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.classifiers import train, trained
from unveil.harness.steps.people import hold_out, known_people
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.errors import DataError
from unveil.harness.words.run import Run

FEWEST = 5  # pictures of a public person that make a class


def ask(asker: Asker, part: TargetPart, data: Node) -> dict[str, Node]:
    """Parents of a model that starts from training on public people; empty if it does not."""
    if part.pretrain is None:
        return {}
    model = asker.use("models", part.spec)
    options = {"recipe": asker.recipe(part.recipe, part.pretrain), **part.view}
    stream = {"model": model.question, "data": data.identity}
    label = f"pretraining {part.label}"
    return {"weights": Node("weights", label, {"model": (model,)}, options, {"data": data}, stream)}


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """Weights trained to tell public people apart."""
    data = datasets.read(node.parents["data"], bench)
    public = known_people(data.public, FEWEST)
    classes = int(public.labels.max()) + 1 if len(public) else 0
    if classes < 2:
        raise DataError(
            f"the public pictures show {classes} people with at least {FEWEST} pictures each",
            "two or more, to train initial weights on",
            "remove `pretrain` from the plan, or give public pictures with identities",
        )
    own, validation = hold_out(public, 0.1, run.generator("public split"))
    classifier = classifiers.untrained(node, bench, classes, data.train.shape, run)
    facts = train(node, classifier, (), own, validation, run)
    return trained(classifier, data.train.shape, facts)
