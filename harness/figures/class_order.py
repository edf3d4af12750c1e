"""Which class of somebody's model is which of our people, and whether that is more than chance. Knows no torch."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

Numbers: TypeAlias = NDArray[np.int64]
DOUBT = 1e-3  # probability at which a hit rate counts as chance


def assigned(answers: Numbers, people: Numbers, count: int, classes: int) -> Numbers:
    """The class of each person by which most pictures are named rightly; no class is of two people.

    Args:
        answers: The class that the model answers for each picture ``(N,)``.
        people: Who is on it ``(N,)``.
        count: Number of people.
        classes: Number of classes, no fewer.

    Returns:
        ``(count,)``. People of whom no picture decides keep their own number where that is free.

    Example:
        >>> assigned(np.array([2, 2, 0, 0]), np.array([0, 0, 1, 1]), count=2, classes=3)
        array([2, 0])
    """
    votes = np.zeros((count, classes))
    np.add.at(votes, (people, answers), 1.0)
    votes[np.arange(count), np.arange(count)] += 0.5 / (count + 1)  # of equally good ones the one nearest to sorted
    return linear_sum_assignment(-votes)[1].astype(np.int64)


def rate(answers: Numbers, people: Numbers, order: Numbers) -> float:
    """Share of pictures that a model names rightly if person i is its class ``order[i]``."""
    return float((answers == order[people]).mean()) if len(people) else 0.0


def is_chance(share: float, pictures: int, classes: int, tries: int = 1) -> bool:
    """Whether guessing would name that share rightly now and then, were it tried so often."""
    hits = round(share * pictures)
    return bool(tries * binom.sf(hits - 1, pictures, 1 / classes) > DOUBT)


def spread(share: float, pictures: int) -> float:
    """Standard error of a share, with one hit and one miss added so that none is ever certain."""
    smoothed = (share * pictures + 1) / (pictures + 2)
    return float(np.sqrt(smoothed * (1 - smoothed) / (pictures + 2)))
