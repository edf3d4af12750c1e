"""Measures one thing about a target or an attack."""

from __future__ import annotations

from typing import Any

from unveil.harness.errors import JudgeError
from unveil.harness.graph import Node
from unveil.harness.intervals import to_figure
from unveil.harness.stages.attack import path, reconstructions
from unveil.harness.stages.bench import Bench
from unveil.harness.store import Artefact
from unveil.harness.types import Classifier, Evidence, Guided, Metric, Run


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
            f"{label}: the evaluator has the target's weights",
            "a judge that was trained on its own",
            "choose another model or seed for the evaluator",
        )


def attacked(node: Node, bench: Bench) -> dict[str, Any]:
    """What the evidence says of the attack, where there is one."""
    if "attack" not in node.parents:
        return {"reconstructions": None}
    artefact, attack = bench.artefact(node.parents["attack"]), node.parents["attack"].uses["attack"][0].make()
    loss = attack.identity_loss if isinstance(attack, Guided) else None
    return {"reconstructions": reconstructions(artefact), "path": path(artefact), "identity_loss": loss}


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """Figures of one metric."""
    metric: Metric = node.uses["metric"][0].make()
    target = bench.classifier(node.parents["target"], run)
    evaluator = None
    if "evaluator" in node.parents:
        evaluator = bench.classifier(node.parents["evaluator"], run)
        never_the_target(evaluator, target, node.label)
    found = metric.measure(
        Evidence(bench.data(node.parents["data"]), target, evaluator, **attacked(node, bench), run=run)
    )
    figures = [to_figure(node.options["name"], node.options["judge"] or None, m).plain() for m in found]
    return Artefact({"figures": figures})
