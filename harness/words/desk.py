"""Answers for a target: what stands behind a view."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from unveil.harness.words.arithmetic import steady
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError
from unveil.harness.words.folding import Compiler, Frozen, as_it_is
from unveil.harness.words.meter import Budget, Meter, Spent, counted
from unveil.harness.words.names import Access

NEEDS = {
    "logits": Access.WHITE_BOX,
    "features": Access.WHITE_BOX,
    "features and logits": Access.WHITE_BOX,
    "scores": Access.SCORES,
    "labels": Access.LABELS,
}
"""What can be asked of a target, and the access it takes."""


class Desk(Protocol):
    """Answers for a target: what stands behind a view.

    Attributes:
        access: What may be asked.
        shape: Shape ``(C, H, W)`` of the images that the target takes.
        classes: Number of classes.
        budget: The limits.
    """

    access: Access
    shape: tuple[int, int, int]
    classes: int
    budget: Budget

    def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        """Answers one of ``NEEDS`` for pixels ``(N, C, H, W)``."""
        ...

    def spent(self) -> Spent:
        """What was asked so far."""
        ...

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """As ``Meter.ration``."""
        ...

    def resume(self, spent: Spent) -> None:
        """As ``Meter.resume``."""
        ...


class LocalDesk:
    """Answers with a classifier in this process.

    Who has the weights takes off whatever stands behind the head: a white-box desk answers without post-hoc defenses.

    Args:
        classifier: The target. Put in evaluation mode and frozen here.
        access: What may be asked.
        shape: Shape ``(C, H, W)`` of the images that the target takes.
        budget: The limits.
        compiler: Makes the passes that gradients go through faster; see `harness.words.run.Run.compile`.
    """

    def __init__(
        self,
        classifier: Classifier,
        access: Access,
        shape: tuple[int, int, int],
        budget: Budget = Budget(),
        compiler: Compiler = as_it_is,
    ) -> None:
        self.access, self.shape, self.budget, self.classes = access, shape, budget, classifier.classes
        held = classifier.eval().requires_grad_(False)
        self._classifier = held.bare() if access is Access.WHITE_BOX else held
        frozen = Frozen(self._classifier, compiler)
        self._logits, self._features = frozen.passing("logits"), frozen.passing("features")
        self._meter = Meter(budget)

    def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        """Answers one of ``NEEDS`` for pixels ``(N, C, H, W)``.

        Raises:
            AccessError: If the declared access does not allow it.
            BudgetSpentError: If it would be over the budget.
        """
        allow(self.access, part)
        if type(x) not in (Tensor, nn.Parameter):  # a subclass would be told of every operation and every weight
            raise AccessError(f"the target was asked with a {type(x).__name__}", "a plain torch.Tensor")
        self._meter.charge("queries", len(x))
        if NEEDS[part] is Access.WHITE_BOX:
            return self._inside(part, x)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False), steady():
            # A question is pixels: the answer depends on neither the memory format nor the precision around it, and
            # detached they carry no forward-mode derivative either, which no_grad lets through.
            logits = self._classifier.logits(x.detach().float().clone(memory_format=torch.channels_last))
            return (logits.softmax(-1) if part == "scores" else logits.argmax(-1),)

    def _inside(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        if part == "logits":
            return (self._counted(self._logits(x)),)
        features = self._counted(self._features(x))
        if part == "features":
            return (features,)
        return features, self._classifier.outputs(self._classifier.head(features))

    def _counted(self, out: Tensor) -> Tensor:
        return counted(out, self._meter.number) if out.requires_grad else out

    def spent(self) -> Spent:
        """What was asked so far."""
        return self._meter.spent

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """As ``Meter.ration``."""
        self._meter.ration(part, whole, since, before)

    def resume(self, spent: Spent) -> None:
        """As ``Meter.resume``."""
        self._meter.resume(spent)


def allow(access: Access, part: str) -> None:
    """Refuses what the access does not cover.

    Raises:
        AccessError: If so.
    """
    if access not in (Access.WHITE_BOX, NEEDS[part]):
        raise AccessError(
            f"the attack asked for {part} but declares {access.value} access",
            f"a query that {access.value} access allows",
            "declare the access the attack really needs",
        )
