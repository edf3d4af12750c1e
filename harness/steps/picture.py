"""Draws reconstructions beside real pictures of the same people."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.harness.data import grid as side_by_side
from unveil.harness.figures.grids import GAP, MADE, REAL
from unveil.harness.plan.node import Node
from unveil.harness.steps import data as datasets
from unveil.harness.steps.attack import opened, reconstructions
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.images import Images
from unveil.harness.words.pixels import brought_to
from unveil.harness.words.run import Run


def strip(images: Images, own: Tensor, count: int) -> list[Tensor]:
    """These pictures, as many as there is room for; white where there are fewer."""
    shown = list(images.at(own[:count]))
    return shown + [torch.ones(images.shape)] * (count - len(shown))


def nearest(real: Images, own: Tensor, made: Tensor) -> Tensor:
    """Places of real pictures, the one nearest to any of these reconstructions first, by squared distance of pixels.

    Args:
        real: Of everybody.
        own: Places of one person's.
        made: Reconstructions of that person, as they are shown.
    """
    apart = torch.cdist(
        real.at(own).flatten(1), made.flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
    )  # pictures of one person, so few
    return own[apart.amin(1).argsort(stable=True)]


def grid(real: Images, made: Images, people: list[int]) -> bytes:
    """PNG: one line a person, the nearest real pictures left, reconstructions right and as large as these."""
    count = min(MADE, int(torch.bincount(made.labels).max()))
    lines = []
    for label in people:
        drawn = (made.labels == label).nonzero().flatten()[:count]
        shown = brought_to(made.at(drawn), real.shape[1:])
        own = nearest(real, (real.labels == label).nonzero().flatten(), shown)
        blank = torch.ones(real.shape)
        left = torch.cat(strip(real, own, REAL), 2)
        right = torch.cat([*shown, *[blank] * (count - len(shown))], 2)
        lines.append([left, torch.ones(left.shape[0], left.shape[1], GAP), right])
    return side_by_side.grid(lines)


def ask(attack: Node, people: int) -> Node:
    """Pictures of what an attack reconstructed of so many people."""
    parents = {"data": attack.parents["data"], "attack": attack}
    return Node("picture", f"pictures of {attack.label}", {}, {"people": people}, parents)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:  # noqa: ARG001 (one signature for all stages)
    """A grid of the first people attacked: chosen by number, not by success."""
    data = datasets.read(node.parents["data"], bench)
    made = reconstructions(opened(bench.store, node.parents["attack"].key))
    people = made.labels.unique()[: node.options["people"]].tolist()
    record = {
        "people": [data.names[label] for label in people],
        "publishable": data.publishable,
        "caption": f"Left: of each person's real pictures the {REAL} nearest to a reconstruction, by their pixels. "
        "Right: reconstructions, successes and failures alike.",
    }
    return Artefact(record, files={"grid.png": grid(data.train, made, people)})
