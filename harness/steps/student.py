"""Distils the target into a model of the attacker's own, on public pictures and through the attack's access."""

from __future__ import annotations

from pathlib import Path

from unveil.harness.plan import plugins
from unveil.harness.plan.graph import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.distillation import answers, distil
from unveil.harness.steps.fitting import kept
from unveil.harness.store.artefacts import Artefact
from unveil.harness.training.fit import accuracy, predict
from unveil.harness.types import Access, Distillation, Run, View


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """A student, with what it asked of the target and how often it agrees with it on public pictures."""
    data = bench.data(node.parents["data"])
    public, how = data.public, plugins.validated(Distillation, "distillation", node.options["distillation"], Path())
    view = View(bench.classifier(node.parents["target"], run), Access(node.options["access"]), public.shape)
    student = bench.untrained(node, data.classes, public.shape, run)
    p = answers(view, public, how.temperature, run)
    curves = {"kl": distil(student, p, public, how, run)}
    agreement = accuracy(predict(student, public, device=run.device), p.argmax(1))
    facts = {"queries": view.spent.queries, "curves": curves, "agreement": agreement}
    return kept(student, public.shape, facts)
