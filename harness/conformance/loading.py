"""Loads a finished target from a store, as an attack's process and then a metric's would."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unveil.harness.conformance import tiny
from unveil.harness.conformance.watch import scrambled
from unveil.harness.plan import settings
from unveil.harness.plan.node import Node, Use
from unveil.harness.steps import classifiers
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefacts import Store
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.images import Images
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

if TYPE_CHECKING:
    from unveil.harness.conformance.basics import Subject

LOADERS = ("attack", "metric")


def answers_by_loader(subject: Subject, trained: Classifier, images: Images) -> list[list[Tensor]]:
    """Logits of the same pictures, twice from each of two loaders.

    Args:
        subject: The defense that the target was trained under.
        trained: The target, before ``finish``.
        images: What it is asked.
    """
    spec = Spec(subject.spec.use, settings.dump(subject.plugin))
    model = Use("models", Spec("small_resnet", {"width": tiny.WIDTH}), str(subject.base))
    defense = Use("defenses", spec, str(subject.base))
    node = Node("target", "the target", {"model": (model,), "defenses": (defense,)}, stream={"seed": 0})
    with tempfile.TemporaryDirectory() as folder:
        Store(folder).save(node.key, classifiers.trained(trained, tiny.SHAPE, {}))
        return [_asked(node, folder, number, images) for number in range(len(LOADERS))]


def _asked(node: Node, folder: str, number: int, images: Images) -> list[Tensor]:
    """Two answers to one question, with other global random numbers around for each loader."""
    with scrambled(number), torch.no_grad():
        target = classifiers.read(node, Bench(Store(folder)), Run(f"conformance {LOADERS[number]}"))
        return [target.logits(images.pixels) for _ in range(2)]
