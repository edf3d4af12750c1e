"""Answers in words: besides yes and no there is a refusal, and what is neither. None of them is taken for a no."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.words.comparer import Comparer
from unveil.harness.words.run import Run


class Reply(StrEnum):
    """What somebody says who is asked whether a picture shows a person."""

    YES = "yes"
    NO = "no"
    REFUSED = "refused"
    UNCLEAR = "unclear"


@runtime_checkable
class Speaker(Comparer, Protocol):
    """A comparer who may refuse, or say neither yes nor no. Its ``yes_or_no`` is true."""

    def replies(
        self, pictures: Tensor, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
    ) -> Sequence[Reply]:
        """One reply to each question; all else as in `unveil.harness.types.Comparer`."""
        ...
