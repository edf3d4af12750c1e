"""Loads or draws a data set once; its pictures are stored with 8 bits a value, and read so."""

from __future__ import annotations

import torch

from unveil.harness.data.splits import PARTS, ROLES, from_tensors, to_meta, to_pictures, to_tensors
from unveil.harness.plan import parts
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.account import Account, Part
from unveil.harness.words.images import Data, Images
from unveil.harness.words.resolution import at_size
from unveil.harness.words.run import Run


def ask(asker: Asker, part: parts.Part) -> Node:
    """The data set of a plan's ``[data]``."""
    use = asker.use("datasets", part.spec)
    return Node("data", f"data {part.label}", {"dataset": (use,)}, stream={"data": use.question})


def read(node: Node, bench: Bench) -> Data:
    """The data set that a node loaded."""

    def load() -> Data:
        artefact = bench.store.open(node.key, [f"{part}.pixels" for part in PARTS])
        return from_tensors(artefact.tensors, artefact.record, artefact.pictures)

    return bench.keep(node, load)


def public(node: Node, bench: Bench, run: Run) -> Images:
    """The public pictures of a node's data, at the resolution that its attack works at."""
    source = node.parents["data"]

    def resized() -> Images:
        return at_resolution(read(source, bench).public, node, run)

    side = node.options.get("resolution")
    return resized() if side is None else bench.keep(source, resized, form=f"public at {side}")


def at_resolution(images: Images, node: Node, run: Run) -> Images:
    """Pictures at the resolution that a node's attack works at, if that is another one."""
    side = node.options.get("resolution")
    return images if side is None else at_size(images, (side, side), run.scratch)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:  # noqa: ARG001 (one signature for all stages)
    """The data set of a plan's ``[data]``."""
    data: Data = node.uses["dataset"][0].make().load(run)
    record = {**to_meta(data), "facts": facts(data), "account": account(data).model_dump(mode="json")}
    return Artefact(record, to_tensors(data), pictures=to_pictures(data))


def account(data: Data) -> Account:
    """What was read, and what lies beside it and was not."""
    counts = torch.stack([torch.bincount(getattr(data, role).labels, minlength=data.classes) for role in ROLES], 1)
    return Account(
        parts={part: _part(getattr(data, part)) for part in PARTS},
        people=dict(zip(data.names, map(tuple, counts.tolist()), strict=True)),
        remarks=data.remarks,
        publishable=data.publishable,
    )


def _part(images: Images) -> Part:
    _, counts = images.labels[images.labels >= 0].unique(return_counts=True)
    each = counts.tolist() or [0]
    nameless = int((images.labels < 0).sum())
    return Part(people=len(counts), pictures=len(images), fewest=min(each), most=max(each), nameless=nameless)


def facts(data: Data) -> dict[str, str]:
    """What a reader of the results should know about the data."""
    strangers = data.public.labels[data.public.labels >= 0].unique()
    people = f" of {len(strangers)} people" if len(strangers) else ""
    return {
        "private people": str(data.classes),
        "private pictures": f"{len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test",
        "public pictures": f"{len(data.public)}{people}",
        "picture size": _sizes(data),
        "private and public people disjoint": data.disjoint,
        "checksum": data.checksum,
    }


def _sizes(data: Data) -> str:
    own, others = (" x ".join(map(str, images.shape)) for images in (data.train, data.public))
    return own if own == others else f"{own}, public {others}"
