"""Trains the generator that attacks search, on public pictures."""

from __future__ import annotations

from unveil.harness.graph import Node
from unveil.harness.stages.bench import Bench
from unveil.harness.store import Artefact
from unveil.harness.types import Access, Generator, Prior, Run, Spent, View


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """A trained prior, with what it asked of the target."""
    public = bench.data(node.parents["data"]).public
    prior: Prior = node.uses["prior"][0].make()
    classes = bench.data(node.parents["data"]).classes
    generator: Generator = prior.build(classes, public.shape).to(run.device)
    view = None
    if "target" in node.parents:
        view = View(bench.classifier(node.parents["target"], run), Access.WHITE_BOX, public.shape)
    curves = prior.fit(generator, public, view, run)
    spent = view.spent if view else Spent()
    record = {
        "classes": classes,
        "shape": list(public.shape),
        "queries": spent.queries,
        "gradients": spent.gradients,
        "curves": {name: list(values) for name, values in curves.items()},
    }
    return Artefact(record, generator.state_dict())
