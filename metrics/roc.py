"""Operating points of a verification system, from scores of real pairs: thresholds, ROC area, and how sure they are.

A pair is a picture (the probe) and the person it is claimed to show. In a genuine pair the claim is true, in an
impostor pair it is not. A pair is accepted where its score exceeds the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
People = NDArray[np.int64]

PER_RATE = 10  # false accepts that a rate must leave among the pairs: below, one pair moves it by over 10 %
ROUNDING = 1e-9  # of rate * pairs


@dataclass(frozen=True)
class Pairs:
    """Scores of pairs, and who is on both sides.

    Attributes:
        scores: ``(N,)``, higher is more alike.
        shown: Number of the person on the picture ``(N,)``.
        claimed: Number of the person it is compared with ``(N,)``.
    """

    scores: Vector
    shown: People
    claimed: People

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, which: NDArray[np.bool_]) -> Pairs:
        return Pairs(self.scores[which], self.shown[which], self.claimed[which])

    def descending(self) -> Pairs:
        """The same, best score first."""
        order = np.argsort(-self.scores, kind="stable")
        return Pairs(self.scores[order], self.shown[order], self.claimed[order])

    def weights(self, people: Vector) -> Vector:
        """How often each pair occurs ``(N,)`` where each person occurs so often."""
        return np.where(self.shown == self.claimed, people[self.claimed], people[self.shown] * people[self.claimed])


def needed(rate: float) -> int:
    """Impostor pairs below which a false-accept rate is not resolved.

    Example:
        >>> needed(0.01), needed(0.001)
        (1000, 10000)
    """
    return int(np.ceil(PER_RATE / rate - ROUNDING))


def threshold(impostors: Vector, rate: float, weights: Vector | None = None) -> float:
    """A low threshold which at most a share ``rate`` of the impostor pairs exceeds.

    Args:
        impostors: Scores ``(N,)``, descending, N > 0.
        rate: False-accept rate in (0, 1).
        weights: How often each pair counts ``(N,)``; once by default.
    """
    counted = np.cumsum(np.ones(len(impostors)) if weights is None else weights)
    passing = int(np.searchsorted(counted, rate * counted[-1] * (1 + ROUNDING), side="right"))
    refused = impostors[min(passing, len(impostors) - 1)]
    return float((refused + impostors[max(passing - 1, 0)]) / 2)  # halfway, so that rounding moves nobody across


def area(genuine: Vector, impostors: Vector, own: Vector | None = None, others: Vector | None = None) -> float:
    """Area under the ROC: how often a genuine pair scores higher than an impostor pair, ties half.

    Args:
        genuine: Scores ``(N,)``.
        impostors: Scores ``(M,)``, descending.
        own: How often each genuine pair counts ``(N,)``; once by default.
        others: How often each impostor pair counts ``(M,)``; once by default.
    """
    own = np.ones(len(genuine)) if own is None else own
    others = np.ones(len(impostors)) if others is None else others
    below = np.concatenate([[0.0], np.cumsum(others[::-1])])
    left, right = (np.searchsorted(impostors[::-1], genuine, side=side) for side in ("left", "right"))
    return float(own @ (below[left] + below[right]) / (2 * own.sum() * below[-1]))


def errors(
    genuine: Pairs, impostors: Pairs, rates: Sequence[float], private: int, resamples: int, rng: np.random.Generator
) -> tuple[float, list[float]]:
    """Bootstrap standard errors over people, both the enrolled and the strangers.

    People are drawn with replacement, and a pair counts as often as both its people together (the product), so that
    the pairs which share a person rise and fall together. This overstates the variance a little (Owen, The
    pigeonhole bootstrap, Annals of Applied Statistics 2007).

    Args:
        genuine: Pairs of private people, numbered below ``private``.
        impostors: Pairs, descending; people on pictures from ``private`` on are strangers.
        rates: False-accept rates.
        private: Number of private people.
        resamples: Repetitions.
        rng: Randomness.

    Returns:
        Of the area, and of the threshold at each rate.
    """
    strangers = max(int(impostors.shown.max()) + 1 - private, 0)
    drawn: list[list[float]] = []
    while len(drawn) < resamples:
        sides = [rng.multinomial(n, np.full(n, 1 / n)) for n in (private, strangers) if n]
        people = np.concatenate(sides).astype(np.float64)
        own, others = genuine.weights(people), impostors.weights(people)
        if own.sum() and others.sum():  # hardly ever not, with very few people
            found = [threshold(impostors.scores, rate, others) for rate in rates]
            drawn.append([area(genuine.scores, impostors.scores, own, others), *found])
    spread = np.std(drawn, axis=0, ddof=1)
    return float(spread[0]), [float(s) for s in spread[1:]]
