"""What an attack may touch of a target, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from unveil.harness.classifier import Classifier
from unveil.harness.errors import AccessError


class Access(StrEnum):
    """How much of the target an attack sees."""

    WHITE_BOX = "white-box"  # logits, features and gradients
    SCORES = "scores"  # softmax scores, no gradient
    LABELS = "labels"  # the arg-max only


@dataclass
class Spent:
    """What an attack has asked of the target so far, in images."""

    queries: int = 0
    gradients: int = 0


class _CountBackward(torch.autograd.Function):
    """The identity, which counts the images that a backward pass went through."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, spent: Spent) -> Tensor:
        ctx.spent = spent
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        ctx.spent.gradients += len(grads[0])
        return grads[0], None


class View:
    """A target seen through its threat model; every query and every gradient is counted.

    Parameters of the target never receive gradients, so a backward pass costs only what the input needs.

    Args:
        classifier: The target. Put in evaluation mode and frozen here.
        access: What the attack declared.
        shape: Shape ``(C, H, W)`` of the images that the target takes.
    """

    def __init__(self, classifier: Classifier, access: Access, shape: tuple[int, int, int]) -> None:
        classifier = classifier.eval().requires_grad_(False)
        self.access, self.shape, self.classes = access, shape, classifier.classes
        self.spent = Spent()

        def ask(x: Tensor, need: Access, part: str) -> Tensor:
            if access is not Access.WHITE_BOX and need is not access:
                raise AccessError(
                    f"the attack asked for {part} but declares {access.value} access",
                    f"a query that {access.value} access allows",
                    "declare the access the attack really needs",
                )
            self.spent.queries += len(x)
            with torch.set_grad_enabled(access is Access.WHITE_BOX and torch.is_grad_enabled()):
                out = classifier.features(x) if part == "features" else classifier.logits(x)
                return _CountBackward.apply(out, self.spent) if out.requires_grad else out  # type: ignore[no-untyped-call]

        def run(x: Tensor) -> tuple[Tensor, Tensor]:
            features = ask(x, Access.WHITE_BOX, "features")
            return features, classifier.outputs(classifier.head(features))

        self._ask, self._run = ask, run

    def logits(self, x: Tensor) -> Tensor:
        """Logits ``(N, C)`` of pixels in [0, 1]; white-box only."""
        return self._ask(x, Access.WHITE_BOX, "logits")

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features ``(N, F)``; white-box only."""
        return self._ask(x, Access.WHITE_BOX, "features")

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both of one pass, counted once; white-box only."""
        return self._run(x)

    def scores(self, x: Tensor) -> Tensor:
        """Softmax scores ``(N, C)``, without gradient."""
        with torch.no_grad():
            return self._ask(x, Access.SCORES, "scores").softmax(-1)

    def labels(self, x: Tensor) -> Tensor:
        """Predicted labels ``(N,)``, without gradient."""
        with torch.no_grad():
            return self._ask(x, Access.LABELS, "labels").argmax(-1)
