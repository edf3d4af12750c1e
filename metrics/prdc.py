"""Precision, recall, density and coverage of the reconstructions against the private pictures.

With B(z) the ball about z that reaches its k-th nearest neighbour within z's own set, reals y and fakes x:

    precision = mean over x of 1[x in some B(y)]             (Kynkaanniemi et al. 2019, eq. 1-2)
    recall    = mean over y of 1[y in some B(x)]
    density   = mean over x of (number of B(y) that hold x) / k        (Naeem et al. 2020, eq. 4)
    coverage  = mean over y of 1[B(y) holds some x]                    (ibid., eq. 5)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unveil.harness.types import Direction, Measurement
from unveil.metrics.image_features import CloudMetric, Clouds, Column
from unveil.metrics.neighbours import nearest

Array = NDArray[np.float64]
ROWS = 1024  # of a distance matrix in memory at once
EDGE = 1e-5  # share of a squared radius that counts as its edge, which is outside: rounding must not decide
SAME = 1e-10  # squared distance, of the largest there can be, below which float32 features are the same picture's
STATISTICS = {"precision": 1.0, "recall": 1.0, "density": np.inf, "coverage": 1.0}  # and their largest values


@dataclass(frozen=True)
class PRDC(CloudMetric):
    """How many reconstructions look like private pictures (precision, density), and how many of these they reach.

    Recall and coverage are shares of the private training pictures. Coverage and density are less swayed by outliers
    than recall and precision. Standard definitions, over all attacked people together and not person by person:
    "like a private picture" means like anybody's. Network, pictures and their equal number are those of ``fid``, and
    the columns name the network. Neighbourhoods shrink with more pictures, so only equal numbers compare. Intervals
    are over people, with everybody's neighbourhoods as they are.

    Attributes:
        extractor: ``inception`` or ``efficientnet_lite0``, which is not scored where its weights are missing, or
            ``auto``: Inception where its weights are, else EfficientNet-Lite0.
        minimum: Fewest pictures in each set to give a number for.
        pictures: Pictures in each set; None takes as many as both sets have.
        k: Which nearest neighbour within its own set a picture's neighbourhood reaches.
    """

    paper: ClassVar[str] = "Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020"

    k: Annotated[int, Field(ge=1)] = 3

    @property
    def fewest(self) -> int:
        """A picture needs k others."""
        return max(self.minimum, self.k + 1)

    def columns(self) -> Sequence[Column]:
        """Precision, recall, density and coverage, each named after the network."""
        return [
            (self.titled(name), "mean count / k" if name == "density" else "share", Direction.LEAKS, 0.0, most)
            for name, most in STATISTICS.items()
        ]

    def score(self, found: Clouds) -> Sequence[Measurement]:
        """One value a picture: of reconstructions for precision and density, else of private pictures."""
        c, balls = found, compare(found.x, found.y, self.k)
        values: list[tuple[NDArray[Any], NDArray[np.int64]]] = [
            (balls.inside > 0, c.x_people),
            (balls.recalled, c.y_people),
            (balls.inside / self.k, c.x_people),
            (balls.covered, c.y_people),
        ]
        return [
            Measurement(*column, values=v.astype(np.float64), identities=who, samples=len(c.x), counted=self.counted)
            for column, (v, who) in zip(self.columns(), values, strict=True)
        ]


@dataclass(frozen=True)
class Compared:
    """What the balls of each set hold of the other.

    Attributes:
        inside: How many balls of reals hold each fake ``(N,)``.
        recalled: Whether some fake's ball holds the real ``(M,)``.
        covered: Whether the real's own ball holds some fake ``(M,)``.
    """

    inside: NDArray[np.int64]
    recalled: NDArray[np.bool_]
    covered: NDArray[np.bool_]


def compare(x: Array, y: Array, k: int) -> Compared:
    """Compares fakes with reals.

    Args:
        x: Fakes ``(N, d)``, N > k.
        y: Reals ``(M, d)``, M > k.
        k: At least 1.
    """
    about_x, about_y = squared_radii(x, k) * (1 - EDGE), squared_radii(y, k) * (1 - EDGE)
    inside = np.empty(len(x), np.int64)
    recalled, covered = np.zeros(len(y), np.bool_), np.zeros(len(y), np.bool_)
    for rows, distances in _blocks(x, y):
        held = distances < about_y
        inside[rows] = held.sum(1)
        covered |= held.any(0)
        recalled |= (distances < about_x[rows, None]).any(0)
    return Compared(inside, recalled, covered)


def squared_radii(x: Array, k: int) -> Array:
    """Squared distance of each x to its k-th nearest other ``(N,)``; 0 where only rounding tells them apart."""
    radii = nearest(x, x, k + 1)[:, k]  # itself is at 0, so no other is nearer
    return np.where(radii > _same(x - x.mean(0), x - x.mean(0)), radii, 0.0)


def _blocks(x: Array, y: Array) -> Iterator[tuple[slice, Array]]:
    """Squared distances, some rows at a time; 0 between pictures that only rounding tells apart."""
    centre = y.mean(0)  # |a|^2 + |b|^2 - 2ab cancels less when both are small
    a, b = x - centre, y - centre
    a2, b2 = (a**2).sum(1), (b**2).sum(1)
    same = _same(a, b)
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        distances = a2[rows, None] + b2 - 2 * a[rows] @ b.T
        yield rows, np.where(distances > same, distances, 0.0)


def _same(a: Array, b: Array) -> float:
    """Squared distance below which centred a and b are the same picture."""
    return SAME * float((a**2).sum(1).max() + (b**2).sum(1).max())
