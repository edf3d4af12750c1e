"""What defenses that act on answers alone share: the scores that are told in place of those that were computed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from unveil.harness.types import Classifier
from unveil.harness.words.errors import PluginError

LEAST = 1e-12  # what a score of 0 has as its logarithm's argument, so that logits stay finite


class Telling(nn.Module):
    """Logits ``(N, C)`` to the logarithms of the scores that are told, ``(N, C)`` float32, not below log(1e-12).

    Gradients pass as if the exact scores were told (straight-through): nothing is gained by hiding them, since who has
    the weights takes this module off.

    Args:
        temperature: Divides the logits.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        """What is told of the logits."""
        exact = (logits.float() / self.temperature).log_softmax(1)
        with torch.no_grad():
            told = self.tell(exact.exp()).clamp_min(LEAST).log()
        out: Tensor = _StraightThrough.apply(exact, told)  # type: ignore[no-untyped-call]
        return out

    @abstractmethod
    def tell(self, scores: Tensor) -> Tensor:
        """Scores ``(N, C)`` to those that are told; both sum to one."""


def tell(classifier: Classifier, telling: Telling, name: str) -> Classifier:
    """Puts it behind the head, and behind whatever is there already.

    Raises:
        PluginError: If one of its kind is there already.
    """
    if any(isinstance(module, type(telling)) for module in classifier.outputs.modules()):
        raise PluginError(f"{name} twice in one stack", "once", "keep the one with the settings you want")
    plain = isinstance(classifier.outputs, nn.Identity)
    classifier.outputs = telling if plain else nn.Sequential(classifier.outputs, telling)
    return classifier


class _StraightThrough(torch.autograd.Function):
    """The second argument, with the gradient of the first."""

    generate_vmap_rule = True  # per-sample gradients go through here, too

    @staticmethod
    def forward(exact: Tensor, told: Tensor) -> Tensor:  # noqa: ARG004
        return told.view_as(told)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return grads[0], None
