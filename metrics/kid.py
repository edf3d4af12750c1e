"""Kernel inception distance between reconstructions and the private pictures.

    k(a, b) = (a.b / d + 1)^3                                                (Binkowski et al. 2018, section 4)
    MMD^2 = mean of k(x, x') + mean of k(y, y') - 2 mean of k(x, y),   x' is not x, y' is not y          (ibid., eq. 4)

Leaving out a person changes these means by sums over that person's pictures. So one pass over the kernel gives the
distance and all replicates of its jackknife: only the sums over pairs of people are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from unveil.harness.types import Direction, Measurement
from unveil.metrics.image_features import CloudMetric, Clouds, Column

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
ROWS = 1024  # of the kernel matrix in memory at once


@dataclass(frozen=True)
class KID(CloudMetric):
    """Squared kernel distance between features of all reconstructions and of private training pictures.

    The estimator is unbiased, so few pictures make the number noisy but not larger, and it can fall below zero. All of
    both sets is compared at once, not a mean over random subsets. Network, pictures and their equal number are those
    of ``fid``, and the column names the network: two networks are two scales. The standard error comes from leaving
    out one person at a time.

    Attributes:
        extractor: ``inception`` or ``efficientnet_lite0``, which is not scored where its weights are missing, or
            ``auto``: Inception where its weights are, else EfficientNet-Lite0.
        minimum: Fewest pictures in each set to give a number for.
        pictures: Pictures in each set; None takes as many as both sets have.
    """

    paper: ClassVar[str] = "Binkowski et al., Demystifying MMD GANs, ICLR 2018"
    counted: ClassVar[bool] = False  # unbiased

    def columns(self) -> Sequence[Column]:
        """One, named after the network."""
        return [(self.titled("KID"), "squared MMD", Direction.PROTECTS, -np.inf, np.inf)]

    def score(self, found: Clouds) -> Sequence[Measurement]:
        """The distance, and its standard error over people."""
        value, error = kernel_distance(found.x, found.x_people, found.y, found.y_people)
        people, samples = found.x_people, len(found.x)
        (column,) = self.columns()
        return [Measurement(*column, identities=people, value=value, standard_error=error, samples=samples)]


def kernel_distance(x: Array, x_people: Labels, y: Array, y_people: Labels) -> tuple[float, float | None]:
    """Unbiased squared MMD with the cubic kernel, and its delete-one-person jackknife standard error.

    A person leaves both sets at once.

    Args:
        x: ``(N, d)``, N > 1.
        x_people: ``(N,)``.
        y: ``(M, d)``, M > 1.
        y_people: ``(M,)``.

    Returns:
        Any number, its expectation at least 0; and the error, None if fewer than two people or two pictures are left.
    """
    people = np.union1d(x_people, y_people)
    own = _Sums(x, x_people, x, x_people, people).without_self(x)
    other = _Sums(y, y_people, y, y_people, people).without_self(y)
    cross = _Sums(x, x_people, y, y_people, people)
    everybody = own.mean() + other.mean() - 2 * cross.mean()
    p = len(people)
    fewest = min(len(z) - np.bincount(np.searchsorted(people, who)).max() for z, who in ((x, x_people), (y, y_people)))
    if p < 2 or fewest < 2:
        return everybody, None
    without = own.means_without() + other.means_without() - 2 * cross.means_without()
    return everybody, float(np.sqrt((p - 1) / p * ((without - without.mean()) ** 2).sum()))


class _Sums:
    """Sums of the kernel over pairs of people, and how many pairs of pictures are in each ``(P, P)``."""

    def __init__(self, x: Array, x_people: Labels, y: Array, y_people: Labels, people: Labels) -> None:
        self.rows, columns = (np.searchsorted(people, who) for who in (x_people, y_people))
        which = np.eye(len(people))[columns]  # (M, P)
        self.sums = np.zeros((len(people), len(people)))
        for start in range(0, len(x), ROWS):
            part = slice(start, start + ROWS)
            np.add.at(self.sums, self.rows[part], kernel(x[part], y) @ which)
        counts = [np.bincount(places, minlength=len(people)).astype(np.float64) for places in (self.rows, columns)]
        self.pairs = np.outer(*counts)

    def without_self(self, x: Array) -> _Sums:
        """Takes out each picture's pair with itself, which would bias the mean."""
        itself = ((x**2).sum(1) / x.shape[1] + 1) ** 3
        self.sums -= np.diag(np.bincount(self.rows, weights=itself, minlength=len(self.sums)))
        self.pairs -= np.diag(np.bincount(self.rows, minlength=len(self.sums)))
        return self

    def mean(self) -> float:
        """Over all pairs."""
        return float(self.sums.sum() / self.pairs.sum())

    def means_without(self) -> Array:
        """Over all pairs without one person ``(P,)``."""
        sums, pairs = (m.sum() - m.sum(0) - m.sum(1) + np.diag(m) for m in (self.sums, self.pairs))
        return np.asarray(sums / pairs)


def kernel(x: Array, y: Array) -> Array:
    """(x.y / d + 1)^3 for all pairs ``(N, M)``."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)
