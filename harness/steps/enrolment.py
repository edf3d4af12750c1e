"""A judge that learns nobody: an embedder that has people enrolled, as face identification systems have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import JudgeError
from unveil.harness.words.images import Images
from unveil.harness.words.run import Run

BATCH = 64
STAGE = "unit length"
"""The last stage of a judge by gallery; its head's rows are the enrolled people."""


class UnitLength(nn.Module):
    """Features ``(N, F)`` at length one."""

    def forward(self, h: Tensor) -> Tensor:
        """Divides by the length."""
        return F.normalize(h, dim=1)


def enrol(classifier: Classifier, images: Images, classes: int, run: Run) -> None:
    """Makes an embedder a judge whose logits are cosines with people: with the mean of each one's embeddings.

    Args:
        classifier: Its features are the embedding; its head is replaced.
        images: Pictures of everybody, labelled 0 to ``classes`` - 1.
        classes: Number of people.
        run: Device and progress.
    """
    x = embed(classifier, images, run, "enrolment")
    sums = torch.zeros(classes, x.shape[1], dtype=torch.float64).index_add_(0, images.labels, x.double())
    refit(classifier, F.normalize(sums, dim=1).float())


def refit(classifier: Classifier, people: Tensor) -> None:
    """Puts people in the place of the head.

    Args:
        classifier: What is changed.
        people: One unit vector a person ``(C, F)``.
    """
    classifier.stages[STAGE] = UnitLength()
    classifier.head = nn.Linear(people.shape[1], len(people), bias=False)
    classifier.head.weight = nn.Parameter(people, requires_grad=False)
    classifier.classes = len(people)


def embed(classifier: Classifier, images: Images, run: Run, label: str) -> Tensor:
    """Unit vectors ``(N, F)`` of pictures, on the CPU.

    Raises:
        JudgeError: If one is not finite.
    """
    fast: Classifier = classifier.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network, parts = fast.eval(), []  # a third less time on a CPU
    with torch.no_grad(), run.progress(label, len(images)) as bar:
        for part in images.batches(BATCH):
            x = part.to(run.device).contiguous(memory_format=torch.channels_last)
            parts.append(F.normalize(network.features(x), dim=1).cpu())
            bar.advance(len(part))
    found = torch.cat(parts)
    if lost := int((~found.isfinite()).any(1).sum()):
        raise JudgeError(
            f"the embedder answers {lost} of {len(images)} pictures with what is no number",
            "finite features",
            "check its weights",
        )
    return found


def answers(classifier: Classifier, images: Images, run: Run, label: str) -> Tensor:
    """Cosines with everybody who is enrolled ``(N, C)``, on the CPU."""
    if not len(images):
        return torch.empty(0, classifier.classes)
    people: Tensor = classifier.state_dict()["head.weight"].cpu()
    return embed(classifier, images, run, label) @ people.T
