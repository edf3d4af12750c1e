"""What a judge from outside says: of real pairs, how good a judge it is; of reconstructions, whether they are them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.harness.figures.intervals import wilson
from unveil.harness.types import Comparer, Data, Direction, Images, Measurement, Quantity
from unveil.harness.words.names import GENUINE as GENUINE_ACCEPTED
from unveil.harness.words.names import VERIFIED
from unveil.harness.words.resolution import at_size
from unveil.harness.words.run import Run
from unveil.metrics import comparers
from unveil.metrics.comparers import enrolled
from unveil.metrics.judging import share_of_pictures
from unveil.metrics.questions import GENUINE, IMPOSTOR, RECONSTRUCTION, draw
from unveil.metrics.roc import Pairs

Column = tuple[str | Quantity, str, Direction, float, float]
COLUMNS: tuple[Column, Column, Column] = (
    (VERIFIED, "share", Direction.LEAKS, 0.0, 1.0),
    (GENUINE_ACCEPTED, "share", Direction.DESCRIBES, 0.0, 1.0),
    ("other people accepted", "share", Direction.DESCRIBES, 0.0, 1.0),
)


@dataclass(frozen=True)
class Told:
    """Answers to all questions.

    Attributes:
        genuine: Of held-out private pictures with their own person.
        impostors: Of these and public pictures with somebody else.
        own: Of reconstructions with the person they should show.
    """

    genuine: Pairs
    impostors: Pairs
    own: Pairs

    @property
    def pictures(self) -> int:
        """How many pairs were real."""
        return len(self.genuine) + len(self.impostors)


def incomparable(data: Data, fakes: Images) -> str | None:
    """Why reconstructions cannot be compared with private pictures; None if they can."""
    if fakes.shape[0] != data.train.shape[0]:
        return f"reconstructions of shape {fakes.shape} beside private pictures of shape {data.train.shape}"
    return "one person with training pictures" if len(data.train.labels.unique()) < 2 else None


def ask(comparer: Comparer, data: Data, fakes: Images, most: int, run: Run) -> Told:
    """Asks about at most so many pairs of each kind, mixed; all of the reconstructions' size, which then tells nothing.

    Raises:
        JudgeError: If the answers are not what they should be.
        UnansweredError: If there are none yet.
    """
    people = enrolled(at_size(data.train, fakes.shape[1:]))
    questions = draw(data, people, fakes, most)
    scores = comparers.answers(comparer, questions.pictures, people, questions.pairs, run)
    claimed, kinds = people.numbers[questions.claimed], (GENUINE, IMPOSTOR, RECONSTRUCTION)
    told = [Pairs(scores, questions.shown, claimed)[questions.kind == kind] for kind in kinds]
    return Told(*told)


def counted(told: Told, most: float) -> list[Measurement]:
    """Of answers yes or no: verified, genuine accepted, other people accepted (the measured false-accept rate).

    Args:
        told: The answers.
        most: False-accept rate beyond which a judge is none.
    """
    reason = useless(told.genuine.scores, told.impostors.scores, most)
    verified, genuine, others = COLUMNS
    return [
        accepted(verified, told.own.scores, told.own.shown)
        if reason is None
        else Measurement(*verified, reason=reason),
        accepted(genuine, told.genuine.scores, told.genuine.shown),
        accepted(others, told.impostors.scores, told.impostors.claimed),
    ]


def useless(genuine: NDArray[Any], impostors: NDArray[Any], most: float) -> str | None:
    """Why a judge who answers 1 or 0 to real pairs is none: it accepts others too often, or its own too seldom.

    Clearly: by the lower ends of 95 % score intervals.

    Example:
        >>> useless(np.ones(50), np.ones(50), 0.01)
        'the judge accepts 100 % of 50 impostor pairs, clearly more than 1 %: what it accepts says nothing'
        >>> useless(np.zeros(50), np.zeros(50), 0.01)
        'the judge accepts 0 % of genuine pairs and 0 % of impostor pairs: it cannot tell them apart'
        >>> useless(np.ones(50), np.zeros(50), 0.01)
    """
    rightly, falsely = float(genuine.mean()), float(impostors.mean())
    if wilson(falsely, len(impostors))[0] > most:
        return (
            f"the judge accepts {100 * falsely:.3g} % of {len(impostors)} impostor pairs, clearly more than "
            f"{100 * most:g} %: what it accepts says nothing"
        )
    if wilson(rightly, len(genuine))[0] <= falsely:
        return (
            f"the judge accepts {100 * rightly:.3g} % of genuine pairs and {100 * falsely:.3g} % of impostor pairs: "
            "it cannot tell them apart"
        )
    return None


def accepted(column: Column, pairs: NDArray[Any], people: NDArray[np.int64]) -> Measurement:
    """The share of pairs that are accepted.

    Args:
        column: Of shares.
        pairs: Whether each is ``(Q,)``.
        people: Whose each is ``(Q,)``.
    """
    return share_of_pictures(column[0], column[2], pairs.astype(np.float64), people)
