"""Anti-adversarial training: the target learns to obey faint perturbations, so that its gradient leads nowhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unveil.defenses.averaging import aligned
from unveil.harness.types import Classifier, Defense, Run, Spec, Step, Terms


@dataclass(frozen=True)
class ATAT(Defense):
    """AT-AT: trains a target to see in faintly perturbed pictures the wrong person whom the perturbation aims at.

    For each picture of a batch a wrong person is drawn. Projected gradient descent moves the picture towards that
    person, within a box far below what an eye can see, and the target then learns to give the wrong name to it. That
    is adversarial training with its sign turned: the target becomes easy to fool on purpose, and an inversion that
    descends its gradient finds such perturbations in place of faces.

    By the target's own confidence an attack then seems to succeed: judge by networks that are not the target. Who
    averages gradients over noise that is wider than the box is misled less: ``use = "adaptive"``.

    With five steps of descent training costs about seven times as much.

    Departures: only a summary of the method could be read, not its code. Whether batch statistics are those of the
    batch while the picture is moved is not said there; here the target is in evaluation mode then. The plain and the
    perturbed pictures are two passes.

    Attributes:
        weight: Of the loss on perturbed pictures; 0 is no defense. .08 in the paper.
        radius: Half the side of the box, in pixel values of [0, 1]; the paper's 5e-4 is of [-1, 1].
        step_size: Of a step of descent, in the same values; the paper's 1e-4 is of [-1, 1].
        steps: Of descent, from a random place in the box.
    """

    paper: ClassVar[str] = "BreuerLabs, AT-AT: Anti-Adversarial Training against model inversion, ICLR 2026"

    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.08
    radius: Annotated[float, Field(gt=0, le=1)] = 2.5e-4
    step_size: Annotated[float, Field(gt=0, le=1)] = 5e-5
    steps: Annotated[int, Field(ge=1)] = 5

    def loss(self, terms: Terms, step: Step) -> Terms:
        """Adds ``obey``, the weighted cross-entropy of perturbed pictures with the wrong names."""
        if not self.weight:
            return terms
        y = wrong(step.y, step.classifier.classes, step.run)
        step.classifier.eval()
        moved = self.perturbed(step.classifier, step.x, y, step.run)
        step.classifier.train()
        obey = F.cross_entropy(step.classifier.run(moved).logits.float(), y)
        return {**terms, "obey": self.weight * obey}

    def perturbed(self, classifier: Classifier, x: Tensor, y: Tensor, run: Run) -> Tensor:
        """Pictures ``(N, C, H, W)``, each moved towards class y ``(N,)`` and at most ``radius`` from where it was."""
        start = torch.rand(x.shape, generator=run.generator("at_at", "start")).to(x)
        moved = (x + self.radius * (2 * start - 1)).clamp(0, 1)
        for _ in range(self.steps):
            moved.requires_grad_(True)
            with torch.enable_grad():
                missed = F.cross_entropy(classifier.logits(moved).float(), y, reduction="sum")
            (g,) = torch.autograd.grad(missed, moved)
            moved = moved.detach() - self.step_size * g.sign()
            moved = torch.minimum(torch.maximum(moved, x - self.radius), x + self.radius).clamp(0, 1)
        return moved

    def ladder(self, classifier: Classifier) -> Sequence[ATAT]:  # noqa: ARG002
        """Weight from .02 to .32."""
        return [dataclasses.replace(self, weight=weight) for weight in (0.02, 0.04, 0.08, 0.16, 0.32)]

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over noise, which is wider than the box in which the target was taught to obey."""
        if not self.weight:
            return None
        return aligned(attack, "paa", {"alpha": 0.01})

    def at_zero(self) -> ATAT:
        """The same with weight 0."""
        return dataclasses.replace(self, weight=0.0)


def wrong(y: Tensor, classes: int, run: Run) -> Tensor:
    """Another class than y for each ``(N,)``, all others equally likely."""
    further = torch.randint(1, classes, y.shape, generator=run.generator("at_at", "classes"))
    return (y + further.to(y.device)) % classes
