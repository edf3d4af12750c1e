"""Distils the target into a model of the attacker's own, on public pictures and through the attack's access."""

from __future__ import annotations

from pathlib import Path

from unveil.harness.plan import settings
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.classifiers import trained
from unveil.harness.steps.distillation import answers, distil
from unveil.harness.steps.wishes import Place
from unveil.harness.store.artefact import Artefact
from unveil.harness.training.fit import accuracy, predict
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError
from unveil.harness.words.names import Access
from unveil.harness.words.needs import Distillation, Surrogate
from unveil.harness.words.run import Run
from unveil.harness.words.view import View


def answer(asker: Asker, need: Surrogate, place: Place, number: int) -> Node:
    """A model that is distilled from the target; the number tells those of one plugin apart.

    Raises:
        AccessError: If who wants it has no access to the target.
    """
    if place.access is None:
        raise AccessError(
            f"{asker.asking[-1].spec.use} needs a surrogate of the target and declares no access to it",
            "an access through which it is distilled",
            "declare access",
        )
    how, model = settings.dump(need.distillation), asker.use("models", need.model)
    stream = {"model": model.question, "distillation": how, "seed": place.seed, "data": place.data.identity}
    options = {"distillation": how, "access": place.access, "seed": place.seed, **place.sides}
    label = f"student {number} ({need.model.use}) of {place.on}"
    parents = {"data": place.data, "target": place.target}
    return Node("student", label, {"model": (model,)}, options, parents, stream)


def read(node: Node, bench: Bench, run: Run) -> Classifier:
    """The student; do not change it."""
    return classifiers.read(node, bench, run)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """A student, with what it asked of the target and how often it agrees with it on public pictures."""
    data = datasets.read(node.parents["data"], bench)
    public = datasets.public(node, bench, run)
    how = settings.validated(Distillation, "distillation", node.options["distillation"], Path())
    view = View(classifiers.read(node.parents["target"], bench, run), Access(node.options["access"]), public.shape)
    student = classifiers.untrained(node, bench, data.classes, public.shape, run)
    p = answers(view, public, how.temperature, run)
    curves = {"kl": distil(student, p, public, how, run)}
    agreement = accuracy(predict(student, public, device=run.device), p.argmax(1))
    facts = {"queries": view.spent.queries, "curves": curves, "agreement": agreement}
    return trained(student, public.shape, facts)
