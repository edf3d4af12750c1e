"""What a model plugin offers."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.defense import Plugin
from unveil.harness.words.run import Run


@runtime_checkable
class Model(Plugin, Protocol):
    """A classifier architecture with its initial weights.

    Attributes:
        judges_only: Whether it has no gradients. Then it is no target and helps no attack, and says so with an
            ``UnveilError`` when it is asked for one.
    """

    judges_only: ClassVar[bool] = False

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """An initialised classifier for images of that shape ``(C, H, W)``.

        Raises:
            WeightsError: If pretrained weights are missing or do not fit.
        """
        ...
