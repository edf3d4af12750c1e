"""How an evaluator errs by the word of a judge from outside, picture by picture (arXiv 2505.03519)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from unveil.harness.types import (
    Comparer,
    Direction,
    Evidence,
    GivenComparer,
    Measurement,
    Metric,
    Need,
    UnansweredError,
)
from unveil.harness.words.errors import PluginError
from unveil.harness.words.needs import NEEDED
from unveil.harness.words.spec import LocalSpec
from unveil.metrics import judging, outside
from unveil.metrics.verification import unmeasurable

FALSE_POSITIVES, FALSE_NEGATIVES = "false positives", "false negatives"
BY_EVALUATOR, BY_JUDGE = "accepted by the evaluator", "accepted by the judge"
Bits = NDArray[np.bool_]
People = NDArray[np.int64]


@dataclass(frozen=True)
class Confusion(Metric):
    """What an evaluator makes of reconstructions that somebody from outside has judged, whose word is the truth here.

    False positives: of the reconstructions that the judge does not take for the attacked person, the share that the
    evaluator accepts, FP / (FP + TN). False negatives: of those that the judge takes for them, the share that the
    evaluator does not accept, FN / (FN + TP). An evaluator that shares its target's blind spots has many false
    positives, and its attack accuracy is too high by them.

    The judge is asked what ``verification`` asks it: with the same ``comparer`` and ``questions`` nothing is asked
    twice. Pictures to which it says neither yes nor no are left out, and counted there. A judge that is none, by
    what it says of real pairs, is not believed.

    Attributes:
        comparer: Who judges, with yes or no; as in ``verification``.
        questions: Most pairs of each kind, as in ``verification``.
        most: False-accept rate of the judge beyond which it is none.
    """

    paper: ClassVar[str] = "Revisiting Model Inversion Evaluation, 2025, arXiv:2505.03519"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = True

    comparer: LocalSpec
    questions: Annotated[int, Field(ge=10)] = 200
    most: Annotated[float, Field(gt=0, le=1)] = 0.1

    def content(self) -> Mapping[str, str]:
        """Who judges, says a node of its own."""
        return {"comparer": NEEDED}

    def needs(self) -> Mapping[str, Need]:
        """Who judges."""
        return {"comparer": GivenComparer(self.comparer)}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """False positives and negatives, and what each of the two accepts of the same pictures.

        Raises:
            JudgeError: If the judge's answers are not what they should be, or there is no evaluator.
            PluginError: If the judge answers with scores.
        """
        comparer = evidence.given.comparers["comparer"]
        if not comparer.yes_or_no:
            raise PluginError(
                f"{type(comparer).__name__} answers with scores", "a judge that says yes or no", "name another"
            )
        fakes = judging.reconstructions(evidence)
        reason = unmeasurable(evidence.data, fakes) or outside.incomparable(evidence.data, fakes)
        if reason is None:
            try:
                return self._confronted(comparer, evidence)
            except UnansweredError as error:
                reason = error.what
        return [_column(name, reason=reason) for name in COLUMNS]

    def _confronted(self, comparer: Comparer, evidence: Evidence) -> list[Measurement]:
        data, fakes = evidence.data, judging.reconstructions(evidence)
        told = outside.ask(comparer, data, fakes, self.questions, evidence.run)
        genuine, impostors = outside.spoken(told.genuine), outside.spoken(told.impostors)
        reason = outside.silent(told) or outside.useless(genuine.scores, impostors.scores, self.most)
        if reason is not None:
            return [_column(name, reason=reason) for name in COLUMNS]
        labels, heard = told.own.shown, ~np.isnan(told.own.scores)
        scores = judging.logits(judging.evaluator(evidence), told.made, evidence.run, "evaluator")
        accepted = judging.hits(scores, torch.from_numpy(labels), 1) > 0
        return list(rates(told.own.scores[heard] > 0, accepted[heard], labels[heard]))


def rates(judge: Bits, evaluator: Bits, people: People) -> Iterator[Measurement]:
    """An evaluator's rates with the judge for the truth.

    Args:
        judge: Whether it takes each picture for the person ``(N,)``.
        evaluator: The same of the evaluator.
        people: Whom each picture should show ``(N,)``.
    """
    for name, hit, which in (
        (FALSE_POSITIVES, evaluator, ~judge),
        (FALSE_NEGATIVES, ~evaluator, judge),
        (BY_EVALUATOR, evaluator, np.ones_like(judge)),
        (BY_JUDGE, judge, np.ones_like(judge)),
    ):
        if not which.any():
            nobody = "takes every picture" if name == FALSE_POSITIVES else "takes no picture"
            yield _column(name, reason=f"the judge {nobody} for the person it should show")
        else:
            values = hit[which].astype(np.float64)
            yield judging.share(name, DIRECTIONS[name], values, people[which], int(which.sum()))


DIRECTIONS = {
    FALSE_POSITIVES: Direction.DESCRIBES,
    FALSE_NEGATIVES: Direction.DESCRIBES,
    BY_EVALUATOR: Direction.LEAKS,
    BY_JUDGE: Direction.LEAKS,
}
COLUMNS = tuple(DIRECTIONS)


def _column(name: str, *, reason: str) -> Measurement:
    return Measurement(name, "share", DIRECTIONS[name], 0.0, 1.0, reason=reason)
