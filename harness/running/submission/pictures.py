"""Whether the pictures of a data set are those that its plan asks for: people who were drawn are drawn again."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.harness.data.drawn import Drawn
from unveil.harness.plan.node import Node
from unveil.harness.running.submission.foreign import ForeignError, RefutedError
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run

PARTS = ("train", "validation", "test", "public")
LEVELS = 2  # of 256, by which another machine may round a pixel otherwise


def require_drawn(node: Node, kept: Artefact, bench: Bench) -> str:
    """Draws people again and compares them with what came along.

    Args:
        node: The data set of the plan.
        kept: What came along.
        bench: Where a step computes.

    Returns:
        Why nothing was drawn; empty if all of it was.

    Raises:
        ForeignError: If drawing them would take more than what came along.
        RefutedError: If what came along is something else.
    """
    plugin = node.uses["dataset"][0].plugin
    if not isinstance(plugin, Drawn):
        return "nobody draws them again"
    there = sum(len(kept.tensors.get(f"{part}.labels", ())) for part in PARTS)
    if plugin.private * plugin.pictures + plugin.public * plugin.public_pictures > 2 * there:
        raise ForeignError(f"{node.label}: the plan asks for more pictures than the {there} that came along")
    try:
        drawn = datasets.compute(node, bench, Run(node.randomness))
    except UnveilError as error:
        return error.what
    if wrong := [name for name, t in drawn.tensors.items() if not _same(t, kept.tensors.get(name))]:
        raise RefutedError(f"its pictures are not those that the plan draws: {', '.join(wrong)} differ")
    return ""


def _same(one: Tensor, other: Tensor | None) -> bool:
    if other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype != torch.uint8:
        return torch.equal(one, other)
    return not len(one) or int((one.short() - other.short()).abs().max()) <= LEVELS
