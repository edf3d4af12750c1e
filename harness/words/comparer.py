"""Whoever says whether a picture shows a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.words.run import Run


@runtime_checkable
class Comparer(Protocol):
    """Who says whether a picture shows a person: a network, a language model that sees pictures, people who are asked.

    Attributes:
        yes_or_no: Whether answers are 1 (it is the person) and 0 alone. Then the false-accept rate is what it is;
            of other answers, thresholds are made.
    """

    yes_or_no: ClassVar[bool]

    def compare(
        self, pictures: Tensor, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
    ) -> NDArray[np.float64]:
        """How alike pictures and people are.

        Args:
            pictures: ``(N, C, H, W)`` in [0, 1], of 256 levels.
            people: Real pictures of each enrolled person, each ``(M, C, H, W)``.
            pairs: Which picture and which person each question is about ``(Q, 2)``, in an order that tells nothing.
            run: Randomness, device, progress, checkpoints.

        Returns:
            ``(Q,)``, finite; higher is more alike.

        Raises:
            UnansweredError: If there are no answers yet; why, in words.
        """
        ...
