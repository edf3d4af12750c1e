"""Distils the target into a model of the attacker's own, through the attack's access."""

from __future__ import annotations

from pathlib import Path

from unveil.harness.plan import settings
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node, step
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.classifiers import trained
from unveil.harness.steps.distillation import answers, distil, drawn
from unveil.harness.steps.wishes import Place
from unveil.harness.store.artefact import Artefact
from unveil.harness.training.fit import accuracy, predict
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError
from unveil.harness.words.images import Images
from unveil.harness.words.names import Access
from unveil.harness.words.needs import Distillation, Surrogate, TrainedPrior
from unveil.harness.words.run import Run
from unveil.harness.words.spec import untrained
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
    how, model = settings.said(need.distillation), asker.use("models", need.model)
    stream = {"model": model.question, "distillation": how, "seed": place.seed, "data": place.data.identity}
    options = {"distillation": how, "access": place.access, "seed": place.seed, **place.sides}
    label = f"student {number} ({need.model.use}) of {place.on}"
    parents = {"data": place.data, "target": place.target}
    if need.source is not None:
        parents["source"] = step("prior").answer(asker, TrainedPrior(need.source), place, number)
        stream |= {"source": asker.use("priors", untrained(need.source)).question, "samples": need.samples}
        options["samples"] = need.samples
    return Node("student", label, {"model": (model,)}, options, parents, stream)


def read(node: Node, bench: Bench, run: Run) -> Classifier:
    """The student; do not change it."""
    return classifiers.read(node, bench, run)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """A student, with what it asked of the target and how often it agrees with it on what it was taught."""
    data = datasets.read(node.parents["data"], bench)
    public = datasets.public(node, bench, run)
    how = settings.validated(Distillation, "distillation", node.options["distillation"], Path())
    view = View(classifiers.read(node.parents["target"], bench, run), Access(node.options["access"]), public.shape)
    student = classifiers.untrained(node, bench, data.classes, public.shape, run)
    lessons = _lessons(node, bench, public, data.classes, run)
    p = answers(view, lessons, how.temperature, run)
    curves = {"kl": distil(student, p, lessons, how, run)}
    agreement = accuracy(predict(student, lessons, device=run.device), p.argmax(1))
    facts = {"queries": view.spent.queries, "curves": curves, "agreement": agreement}
    return trained(student, public.shape, facts)


def _lessons(node: Node, bench: Bench, public: Images, classes: int, run: Run) -> Images:
    """What it is taught on."""
    if "source" not in node.parents:
        return public
    prior = step("prior").read(node.parents["source"], bench, run)
    return drawn(prior, classes, node.options["samples"], run)
