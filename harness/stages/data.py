"""Loads or draws a data set once, as 8-bit tensors."""

from __future__ import annotations

from unveil.harness.data.splits import to_meta, to_tensors
from unveil.harness.graph import Node
from unveil.harness.stages.bench import Bench
from unveil.harness.store import Artefact
from unveil.harness.types import Data, Run


def compute(node: Node, bench: Bench, run: Run) -> Artefact:  # noqa: ARG001 (one signature for all stages)
    """The data set of a plan's ``[data]``."""
    data: Data = node.uses["dataset"][0].make().load(run)
    return Artefact({**to_meta(data), "facts": facts(data)}, to_tensors(data))


def facts(data: Data) -> dict[str, str]:
    """What a reader of the results should know about the data."""
    strangers = data.public.labels[data.public.labels >= 0].unique()
    people = f" of {len(strangers)} people" if len(strangers) else ""
    return {
        "private people": str(data.classes),
        "private pictures": f"{len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test",
        "public pictures": f"{len(data.public)}{people}",
        "picture size": " x ".join(map(str, data.train.shape)),
        "private and public people disjoint": data.disjoint,
        "checksum": data.checksum,
    }
