"""Rounded scores: a finished classifier tells less than it knows. Needs no retraining."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.defenses.averaging import ARITHMETIC, averaged
from unveil.defenses.telling import Telling, tell
from unveil.harness.types import Classifier, Defense, Run, Spec
from unveil.harness.words.errors import PluginError


@dataclass(frozen=True)
class RoundedScores(Defense):
    """Answers with softmax scores at a temperature, of the top classes only, rounded to few decimals.

    The scores that remain are scaled to sum to one; the logits that attacks and metrics see are their logarithms. The
    most likely class keeps at least one unit of the last decimal. Classes that round to the same score are tied, which
    the accuracy of the target counts as not known.

    It can only hinder attacks that read scores. It keeps nothing from those that ask for labels, except where the top
    classes tie, nor from those that have the weights, who take it off: a white-box attack meets the target without it,
    and its row says so. ``features`` are as they were.

    Attributes:
        temperature: The logits are divided by it, in [0.01, 100]: below 1 scores get sharper, above 1 flatter.
        decimals: Digits kept of each score; 0 leaves only the label; None does not round.
        top: Number of most likely classes whose scores are told, the others being 0; None tells all.
    """

    paper: ClassVar[str] = (
        "Rounding: Fredrikson et al., Model Inversion Attacks that Exploit Confidence Information, CCS 2015. "
        "Temperature and top classes: Shokri et al., Membership Inference Attacks, S&P 2017"
    )

    post_hoc: ClassVar[bool] = True
    on_answers: ClassVar[bool] = True

    temperature: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    decimals: Annotated[int, Field(ge=0, le=6)] | None = 2
    top: Annotated[int, Field(ge=1)] | None = None

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Changes nothing, and refuses what ``finish`` could not do before anything is trained.

        Raises:
            PluginError: If there are fewer classes than are to be told.
        """
        if self.top is not None and self.top > classifier.classes:
            raise PluginError(
                f"rounded_scores with top = {self.top}: the classifier has {classifier.classes} classes",
                f"1 to {classifier.classes}",
                "lower top, or drop it to tell all scores",
            )
        return classifier

    def finish(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Wraps the outputs, after whatever wraps them already.

        Raises:
            PluginError: If they are rounded already.
        """
        if self == self.at_zero():
            return classifier
        return tell(classifier, Rounded(self.temperature, self.decimals, self.top), "rounded_scores")

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over neighbours: what is rounded away of one answer stays in the mean of many, as in dithering."""
        if self.decimals is None:
            return None if self.top is None else averaged(attack, 0.05, ARITHMETIC)
        return averaged(
            attack, round(0.1 / 3**self.decimals, 4), ARITHMETIC
        )  # finer rounding takes less, and blurs less

    def at_zero(self) -> RoundedScores:
        """Temperature 1, every class, every digit."""
        return dataclasses.replace(self, temperature=1.0, decimals=None, top=None)


class Rounded(Telling):
    """Rounds.

    Args:
        temperature: Divides the logits.
        decimals: Digits kept, or None.
        top: Classes told, or None.
    """

    def __init__(self, temperature: float, decimals: int | None, top: int | None) -> None:
        super().__init__(temperature)
        self.decimals, self.top = decimals, top

    def tell(self, scores: Tensor) -> Tensor:
        """Scores ``(N, C)`` to those that are told; both sum to one."""
        if self.top is not None:
            best = scores.topk(self.top, dim=1).indices
            scores = scores * torch.zeros_like(scores).scatter(1, best, 1.0)
        if self.decimals is not None:
            unit = torch.zeros_like(scores).scatter(1, scores.argmax(1, keepdim=True), 10.0**-self.decimals)
            scores = scores.round(decimals=self.decimals).maximum(unit)
        return scores / scores.sum(1, keepdim=True)
