"""What a judge from outside says: of real pairs, how good a judge it is; of reconstructions, whether they are them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.figures.intervals import wilson
from unveil.harness.types import Comparer, Data, Direction, Images, Measurement, Quantity, Reply, Speaker
from unveil.harness.words.names import GENUINE as GENUINE_ACCEPTED
from unveil.harness.words.names import VERIFIED
from unveil.harness.words.resolution import at_size
from unveil.harness.words.run import Run
from unveil.metrics import comparers
from unveil.metrics.comparers import People, enrolled
from unveil.metrics.judging import share_of_pictures
from unveil.metrics.questions import GENUINE, IMPOSTOR, RECONSTRUCTION, Questions, draw
from unveil.metrics.roc import Pairs

Column = tuple[str | Quantity, str, Direction, float, float]
COLUMNS: tuple[Column, Column, Column] = (
    (VERIFIED, "share", Direction.LEAKS, 0.0, 1.0),
    (GENUINE_ACCEPTED, "share", Direction.DESCRIBES, 0.0, 1.0),
    ("other people accepted", "share", Direction.DESCRIBES, 0.0, 1.0),
)
SCORES = {Reply.YES: 1.0, Reply.NO: 0.0}
SILENCES = (Reply.REFUSED, Reply.UNCLEAR)
SILENT = 0.2  # share of the pairs of a kind that may go without yes or no: beyond it, whose answers are missing decides


@dataclass(frozen=True)
class Told:
    """Answers to all questions.

    Attributes:
        genuine: Of held-out private pictures with their own person.
        impostors: Of these and public pictures with somebody else.
        own: Of reconstructions with the person they should show.
        said: Of a judge who may refuse, what it said of each pair; where that is neither yes nor no its score is NaN.
        asked: The questions.
        claimed: Label of whom each question is about.
    """

    genuine: Pairs
    impostors: Pairs
    own: Pairs
    said: Sequence[Reply] | None
    asked: Questions
    claimed: NDArray[np.int64]

    @property
    def pictures(self) -> int:
        """How many pairs were real."""
        return len(self.genuine) + len(self.impostors)

    @property
    def made(self) -> Tensor:
        """The reconstructions that were shown, in the order of ``own``."""
        return self.asked.pictures[torch.from_numpy(self.asked.kind == RECONSTRUCTION)]


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
    scores, said = answered(comparer, people, questions, run)
    claimed, kinds = people.numbers[questions.claimed], (GENUINE, IMPOSTOR, RECONSTRUCTION)
    genuine, impostors, own = (Pairs(scores, questions.shown, claimed)[questions.kind == kind] for kind in kinds)
    return Told(genuine, impostors, own, said, questions, claimed)


def answered(
    comparer: Comparer, people: People, questions: Questions, run: Run
) -> tuple[NDArray[np.float64], list[Reply] | None]:
    """A score for each question, NaN where the judge would not say; and of one who may refuse, what it said.

    Raises:
        JudgeError: If the answers are not what they should be.
        UnansweredError: If there are none yet.
    """
    if not isinstance(comparer, Speaker):
        return comparers.answers(comparer, questions.pictures, people, questions.pairs, run), None
    said = comparers.replies(comparer, questions.pictures, people, questions.pairs, run)
    return np.array([SCORES.get(reply, np.nan) for reply in said]), said


def counted(told: Told, most: float) -> list[Measurement]:
    """Of answers yes or no: verified, genuine accepted, other people accepted (the measured false-accept rate).

    Of a judge who may refuse also how often it refused, and how often it said neither.

    Args:
        told: The answers.
        most: False-accept rate beyond which a judge is none.
    """
    genuine, impostors, own = (spoken(pairs) for pairs in (told.genuine, told.impostors, told.own))
    reason = silent(told) or useless(genuine.scores, impostors.scores, most)
    columns = [
        Measurement(*COLUMNS[0], reason=reason) if reason else accepted(COLUMNS[0], own.scores, own.shown),
        _real(COLUMNS[1], genuine.scores, genuine.shown),
        _real(COLUMNS[2], impostors.scores, impostors.claimed),
    ]
    return columns if told.said is None else [*columns, *_unsaid(told, told.said)]


def spoken(pairs: Pairs) -> Pairs:
    """Those that were answered with yes or no, or with a score."""
    return pairs[~np.isnan(pairs.scores)]


def silent(told: Told) -> str | None:
    """Why too little was said of a kind of pairs to count the rest; None if enough was."""
    kinds = {"genuine pairs": told.genuine, "impostor pairs": told.impostors, "reconstructions": told.own}
    for kind, pairs in kinds.items():
        left = len(pairs) - len(spoken(pairs))
        if left > SILENT * len(pairs):
            return f"the judge says neither yes nor no to {left} of {len(pairs)} {kind}: the others say too little"
    return None


def _real(column: Column, pairs: NDArray[Any], people: NDArray[np.int64]) -> Measurement:
    if not len(pairs):
        return Measurement(*column, reason="the judge says neither yes nor no to any of these pairs")
    return accepted(column, pairs, people)


def _unsaid(told: Told, said: Sequence[Reply]) -> Iterator[Measurement]:
    """How often the judge refused, or said neither, of reconstructions and of real pairs."""
    made = told.asked.kind == RECONSTRUCTION
    for kind, which in (("reconstructions", made), ("real pairs", ~made)):
        for reply in SILENCES:
            hit = np.array([one is reply for one in said])[which]
            column = (f"{kind} {reply}", "share", Direction.DESCRIBES, 0.0, 1.0)
            yield accepted(column, hit, told.claimed[which])


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
