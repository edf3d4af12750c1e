"""Runs an attack on a target, through the access it declared and with nothing private at hand."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.harness.errors import UnveilError
from unveil.harness.graph import Node
from unveil.harness.stages.bench import Bench
from unveil.harness.store import Artefact
from unveil.harness.types import Attack, Images, Ingredients, Run, Spent, View


def victims(classes: int, count: int, run: Run) -> Tensor:
    """Which private people are attacked: all (count 0), or a draw that is the same for every attack and defense."""
    if not 0 < count < classes:
        return torch.arange(classes)
    return torch.randperm(classes, generator=run.generator("victims"))[:count].sort().values


def checked(images: Images, labels: Tensor, shape: tuple[int, int, int], name: str) -> Images:
    """Refuses reconstructions that cannot be scored, and quantises the rest to 8 bits: they are pictures.

    Raises:
        UnveilError: If there are none of a person, or pixels are not finite, out of range or of another shape.
    """
    pixels = images.pixels.detach().cpu()
    wrong = ""
    if not torch.isfinite(pixels).all():
        wrong = "pixels that are not finite"
    elif images.shape != shape:
        wrong = f"pictures of shape {images.shape} instead of {shape}"
    elif pixels.min() < -1e-3 or pixels.max() > 1 + 1e-3:
        wrong = f"pixels from {pixels.min():.3g} to {pixels.max():.3g}"
    elif set(images.labels.tolist()) != set(labels.tolist()):
        wrong = f"pictures of {len(images.labels.unique())} people instead of the {len(labels)} asked for"
    if wrong:
        raise UnveilError(f"{name} returned {wrong}", "finite pixels in [0, 1] for every label", "repair the attack")
    return Images((pixels.clamp(0, 1) * 255).round() / 255, images.labels.cpu())


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """Reconstructions of the attacked people, and what they cost."""
    data = bench.data(node.parents["data"])
    attack: Attack = node.uses["attack"][0].make()
    view = View(bench.classifier(node.parents["target"], run), attack.access, data.train.shape)
    generator, prior = None, Spent()
    if "prior" in node.parents:
        generator, prior = bench.generator(node.parents["prior"], run)
    who = Run(node.parents["data"].identity + str(node.options["seed"]))
    labels = victims(data.classes, node.options["identities"], who)
    images = attack.reconstruct(view, Ingredients(generator, data.public), labels, run)
    images = checked(images, labels, data.train.shape, node.label)
    spent = {
        "attack queries": view.spent.queries,
        "attack gradients": view.spent.gradients,
        "prior queries": prior.queries,
        "prior gradients": prior.gradients,
    }
    pixels = (images.pixels * 255).round().to(torch.uint8)
    kept = {f"kept {name}": value for name, value in run.kept.items()}
    return Artefact({"budget": spent}, {"pixels": pixels, "labels": images.labels, **kept})


def path(artefact: Artefact) -> Images | None:
    """Pictures along the attack's search, where it left some; see `attacks.search`."""
    if "kept path pixels" not in artefact.tensors:
        return None
    return Images(artefact.tensors["kept path pixels"].float() / 255, artefact.tensors["kept path labels"])


def reconstructions(artefact: Artefact) -> Images:
    """The stored pictures of an attack."""
    return Images(artefact.tensors["pixels"].float() / 255, artefact.tensors["labels"])
