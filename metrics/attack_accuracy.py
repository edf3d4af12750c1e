"""How many reconstructions an independent evaluator takes for the person they are meant to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.types import Direction, Evidence, Measurement, Metric, Quantity
from unveil.harness.words.names import TOP_1, TOP_5
from unveil.metrics.judging import evaluator, hits, logits, reconstructions, share_of_pictures

FIRST, CLOSED = Quantity(quantity=TOP_1), Quantity(quantity=TOP_1, closed=True)
VERDICTS = (FIRST, CLOSED)  # columns that say of each picture whether it is taken for the person


@dataclass(frozen=True)
class AttackAccuracy(Metric):
    """Share of all reconstructions that an evaluator takes for the attacked person.

    A success has the attacked class as the arg-max over everything the evaluator knows. An open-set evaluator knows
    more than the private people (they are its first classes): public people, or "nobody". It is the one to believe. A
    closed-set evaluator has to name a private person, whatever it is shown, and so finds people in noise. What the
    literature publishes is closed-set; for an open-set evaluator it is given as a column of its own. As a classifier's
    opinion, any of them is an upper bound of what a human would recognise.

    Every reconstruction is judged, rounded to 8 bits. If people have unequal numbers of them, each person's are
    averaged first.
    """

    paper: ClassVar[str] = "Zhang et al., The Secret Revealer, CVPR 2020"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Judges all reconstructions; columns top-1, top-5 and, if the evaluator is open-set, two more."""
        fakes = reconstructions(evidence)
        scores = logits(evaluator(evidence), fakes, evidence.run, "judging")
        people = fakes.labels.cpu().numpy()
        return [
            _judged(column, direction, values, people)
            for column, direction, values in _columns(scores, fakes.labels.cpu(), evidence.data.classes)
        ]


def _columns(
    scores: Tensor, labels: Tensor, private: int
) -> Iterator[tuple[Quantity, Direction, NDArray[np.float64] | None]]:
    yield FIRST, Direction.LEAKS, hits(scores, labels, 1)
    yield Quantity(quantity=TOP_5), Direction.LEAKS, hits(scores, labels, 5) if scores.shape[1] > 5 else None
    if scores.shape[1] > private:
        yield CLOSED, Direction.LEAKS, hits(scores[:, :private], labels, 1)
        yield Quantity(quantity="nobody here"), Direction.PROTECTS, (scores.argmax(1) >= private).double().numpy()


def _judged(
    column: Quantity, direction: Direction, values: NDArray[np.float64] | None, people: NDArray[np.int64]
) -> Measurement:
    if values is None:
        return Measurement(column, "share", direction, 0.0, 1.0, reason="the evaluator knows at most 5 classes")
    return share_of_pictures(column, direction, values, people, verdict=column in VERDICTS)
