"""Draws reconstructions beside real pictures of the same people."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.harness.data import grid as side_by_side
from unveil.harness.figures.grids import GAP, MADE, REAL
from unveil.harness.plan.node import Node
from unveil.harness.steps import data as datasets
from unveil.harness.steps.attack import reconstructions
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.images import Images
from unveil.harness.words.run import Run


def strip(images: Images, label: int, count: int) -> list[Tensor]:
    """The first pictures of one person; white where there are fewer."""
    own = list(images.at((images.labels == label).nonzero().flatten()[:count]))
    return own + [torch.ones(images.shape)] * (count - len(own))


def grid(real: Images, made: Images, people: list[int]) -> bytes:
    """PNG: one line a person, real pictures left, reconstructions right."""
    count = min(MADE, int(torch.bincount(made.labels).max()))
    lines = []
    for label in people:
        left, right = torch.cat(strip(real, label, REAL), 2), torch.cat(strip(made, label, count), 2)
        lines.append([left, torch.ones(left.shape[0], left.shape[1], GAP), right])
    return side_by_side.grid(lines)


def ask(attack: Node, people: int) -> Node:
    """Pictures of what an attack reconstructed of so many people."""
    parents = {"data": attack.parents["data"], "attack": attack}
    return Node("picture", f"pictures of {attack.label}", {}, {"people": people}, parents)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:  # noqa: ARG001 (one signature for all stages)
    """A grid of the first people attacked: chosen by number, not by success."""
    data = datasets.read(node.parents["data"], bench)
    made = reconstructions(bench.artefact(node.parents["attack"]))
    people = made.labels.unique()[: node.options["people"]].tolist()
    record = {
        "people": [data.names[label] for label in people],
        "publishable": data.publishable,
        "caption": f"Left: {REAL} real pictures each. Right: reconstructions, successes and failures alike.",
    }
    return Artefact(record, files={"grid.png": grid(data.train, made, people)})
