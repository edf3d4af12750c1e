"""Truncated scores: the target tells its top classes, and spreads the rest evenly. Needs no retraining."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from unveil.defenses.averaging import ARITHMETIC, averaged
from unveil.defenses.telling import Telling, tell
from unveil.harness.types import Classifier, Defense, Run, Spec


@dataclass(frozen=True)
class TruncatedScores(Defense):
    """Tells the scores of the top classes as they are, and gives all others the same share of what is left.

    Labels stay what they were: it can hinder attacks that read scores and no others. It acts on answers alone, so a
    white-box attack takes it off, and its row says so.

    Attributes:
        top: How many classes keep their own score; as many as there are classes, or more, is no defense, and so is 0.
    """

    paper: ClassVar[str] = "Top classes: Shokri et al., Membership Inference Attacks, S&P 2017"
    on_answers: ClassVar[bool] = True

    top: Annotated[int, Field(ge=0)] = 3

    def finish(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Wraps the outputs, after whatever wraps them already."""
        if not 0 < self.top < classifier.classes:
            return classifier
        return tell(classifier, Truncated(self.top), "truncated_scores")

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over neighbours, of which some have the class among their top ones."""
        return averaged(attack, 0.05, ARITHMETIC) if self.top else None

    def ladder(self, classifier: Classifier) -> Sequence[TruncatedScores]:
        """From half of the classes, 20 at most, down to one."""
        tops, k = [], min(20, classifier.classes // 2)
        while k:
            tops.append(k)
            k //= 2
        return [dataclasses.replace(self, top=top) for top in tops]

    def at_zero(self) -> TruncatedScores:
        """All scores."""
        return dataclasses.replace(self, top=0)


class Truncated(Telling):
    """Spreads what is not among the top evenly.

    Args:
        top: Classes that keep their score.
    """

    def __init__(self, top: int) -> None:
        super().__init__()
        self.top = top

    def tell(self, scores: Tensor) -> Tensor:
        """Scores ``(N, C)`` to those that are told; both sum to one."""
        best = scores.topk(self.top, dim=1)
        rest = (1 - best.values.sum(1, keepdim=True)).clamp_min(0) / (scores.shape[1] - self.top)
        return rest.expand_as(scores).scatter(1, best.indices, best.values)
