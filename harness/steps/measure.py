"""Measures one thing about a target or an attack."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unveil.harness.figures.intervals import to_figure
from unveil.harness.figures.panel import Verdict
from unveil.harness.figures.rows import Figure, each
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.plan.parts import MetricPart
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.attack import opened, path, reconstructions
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.cropped import cropped
from unveil.harness.steps.given import given
from unveil.harness.steps.wishes import Place, needs
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.attack import Guided
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import JudgeError, PlanError, UnveilError
from unveil.harness.words.images import Images
from unveil.harness.words.metric import Evidence, Measurement, Metric, has_own_part
from unveil.harness.words.names import TOP_1, Opinion, Quantity
from unveil.harness.words.needs import ACCESS
from unveil.harness.words.run import Run

OWN_ANSWER = Quantity(quantity=TOP_1)  # of an evaluator; what it would say of private people alone is another


def ask(asker: Asker, part: MetricPart, target: Node, attack: Node, judges: Mapping[str, Node]) -> Iterator[Node]:
    """A metric of the plan on one cell, once for each judge where it needs one.

    Args:
        asker: The plan.
        part: What it says of the metric.
        target: The cell's.
        attack: The cell's.
        judges: The evaluators that know the cell's data, by name.

    Raises:
        PlanError: If it has a crop, and shows pictures to the target, which has its own.
    """
    use, data = asker.use("metrics", part.spec), target.parents["data"]
    if part.crop is not None and not has_own_part(use.plugin):
        raise PlanError(
            f"the metric {part.label!r} has crop = {part.crop}, and looks at no pictures but through the target",
            "a metric that looks at pictures itself, or asks an evaluator about them",
            "remove its crop; the target's own stands in its entry",
        )
    about = attack if use.plugin.about == "attack" else target
    parents = {"data": data, "target": target}
    parents |= needs(asker, use, Place(data, target, target.options["seed"], ACCESS[-1]))
    parents |= {"attack": attack} if about is attack else {}
    stream = {"metric": use.question, "data": data.identity}
    for name, judge in judges.items() if use.plugin.needs_evaluator else [("", None)]:
        more = {} if judge is None else {"evaluator": judge}
        label = f"{part.label} of {about.label}" + f" by {name}" * bool(name)
        options = {"name": part.label, "judge": name, **part.view}
        yield Node("measure", label, {"metric": (use,)}, options, {**parents, **more}, stream)


def never_the_target(evaluator: Classifier, target: Classifier, label: str) -> None:
    """Refuses a judge whose weights are the target's.

    Raises:
        JudgeError: If the two classifiers have the same tensors in their bodies.
    """
    own, other = (sorted((n, t.cpu()) for n, t in c.stages.state_dict().items()) for c in (evaluator, target))
    same_names = [n for n, _ in own] == [n for n, _ in other]
    if same_names and all(
        a.shape == b.shape and bool((a == b).all()) for (_, a), (_, b) in zip(own, other, strict=True)
    ):
        raise JudgeError(
            f"{label}: the judge has the target's weights",
            "a judge that was trained on its own",
            "choose another model or seed for it",
        )


def attacked(node: Node, bench: Bench) -> dict[str, Any]:
    """What the evidence says of the attack, where there is one."""
    if "attack" not in node.parents:
        return {"reconstructions": None}
    artefact, attack = opened(bench.store, node.parents["attack"].key), node.parents["attack"].uses["attack"][0].make()
    loss = attack.identity_loss if isinstance(attack, Guided) else None
    return {"reconstructions": reconstructions(artefact), "path": path(artefact), "identity_loss": loss}


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """Figures of one metric."""
    metric: Metric = node.uses["metric"][0].make()
    target = classifiers.read(node.parents["target"], bench, run)
    evaluator = None
    if "evaluator" in node.parents:
        evaluator = classifiers.read(node.parents["evaluator"], bench, run)
        never_the_target(evaluator, target, node.label)
    had = given(node, bench, run)
    for model in had.models.values():
        never_the_target(model, target, node.label)
    data = datasets.read(node.parents["data"], bench)
    evidence = Evidence(data, target, evaluator, **attacked(node, bench), run=run, given=had)
    seen = cropped(evidence, node.options.get("crop"))
    found = [unscored_if_lost(m) for m in metric.measure(seen)]
    figures = [figure(node.options["name"], node.options["judge"] or None, m).plain() for m in found]
    return Artefact({"figures": figures, "verdicts": verdicts(node, found, evidence.reconstructions)})


def figure(metric: str, judge: str | None, m: Measurement) -> Figure:
    """A measurement as a figure that says how many values each person has."""
    made = to_figure(metric, judge, m)
    if m.values is None or m.identities is None:
        return made
    return made.model_copy(update={"each": each(np.unique(m.identities, return_counts=True)[1].tolist())})


def unscored_if_lost(m: Measurement) -> Measurement:
    """The same measurement, or where it holds NaN or infinity the reason why it is not scored."""
    numbers = np.array([x for x in (m.value, m.standard_error) if x is not None]) if m.values is None else m.values
    lost = int((~np.isfinite(numbers)).sum())
    if not lost:
        return m
    reason = f"{lost} of {len(numbers)} values came out as NaN or infinity"
    return dataclasses.replace(m, values=None, value=None, standard_error=None, reason=reason)


def verdicts(node: Node, found: Sequence[Measurement], shown: Images | None) -> list[dict[str, Any]]:
    """What was accepted picture by picture, for `harness.figures.panel`.

    Raises:
        UnveilError: If a verdict is not about all reconstructions.
    """
    given = [m for m in found if m.accepted is not None]
    judge, metric = node.options["judge"], node.options["name"]
    knows_nobody_else = bool(judge) and node.parents["evaluator"].options["others"] == "none"
    made = []
    for m in given:
        if shown is None or m.accepted is None or m.accepted.shape != (len(shown),):
            raise UnveilError(
                f"{metric}/{m.column} says of {0 if m.accepted is None else len(m.accepted)} pictures whether they are "
                f"accepted, where {0 if shown is None else len(shown)} were reconstructed",
                "one answer for each, in the attack's order",
                "repair the metric, or leave `accepted` out",
            )
        own = bool(judge) and m.about == OWN_ANSWER
        named = own or len(given) == 1
        opinion = Opinion(judge=judge or metric, answer="" if named else m.about.column, closed=m.about.closed)
        closed = m.about.closed or knows_nobody_else
        made.append(Verdict(opinion, m.accepted, shown.labels.cpu().numpy(), closed, own).plain())
    return made
