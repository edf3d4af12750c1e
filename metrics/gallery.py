"""Enrolled people, and how alike a picture is to each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unveil.metrics.roc import Pairs

Match = Literal["mean", "max"]


@dataclass(frozen=True)
class Gallery:
    """The enrolled people.

    Attributes:
        people: Their numbers, ascending ``(P,)``.
        embeddings: Unit vectors ``(M, F)``: one per person if matched by the mean, else one per picture.
        labels: Whose each is ``(M,)``, ascending.
    """

    people: NDArray[np.int64]
    embeddings: NDArray[np.float64]
    labels: NDArray[np.int64]

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors ``(N, F)`` to cosine similarities with each person ``(N, P)``."""
        starts = np.searchsorted(self.labels, self.people)
        return np.maximum.reduceat(x @ self.embeddings.T, starts, axis=1)


def enrol(embeddings: NDArray[np.float64], labels: NDArray[np.int64], match: Match) -> Gallery:
    """A gallery of unit vectors ``(N, F)`` whose people are ``labels`` ``(N,)``."""
    order = np.argsort(labels, kind="stable")
    people, starts = np.unique(labels[order], return_index=True)
    if match == "max":
        return Gallery(people, embeddings[order], labels[order])
    sums = np.add.reduceat(embeddings[order], starts, axis=0)
    return Gallery(people, unit(sums), people)


def pairs(scores: NDArray[np.float64], shown: NDArray[np.int64], people: NDArray[np.int64]) -> tuple[Pairs, Pairs]:
    """Genuine and impostor pairs of pictures with each enrolled person.

    Args:
        scores: ``(N, P)``.
        shown: Who is on each picture ``(N,)``.
        people: Who is enrolled ``(P,)``.
    """
    rows, columns = np.repeat(shown, len(people)), np.tile(people, len(shown))
    same = rows == columns
    flat = scores.ravel()
    return tuple(Pairs(flat[of], rows[of], columns[of]) for of in (same, ~same))  # type: ignore[return-value]


def unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows ``(N, F)`` at length one."""
    lengths = np.sqrt((x**2).sum(1, keepdims=True)).clip(min=1e-12)
    out: NDArray[np.float64] = x / lengths
    return out
