"""Whether reconstructions come nearer to the pictures a target was trained on than to others of the same person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from unveil.harness.types import Direction, Evidence, Images, Measurement, Metric
from unveil.metrics import shared_features
from unveil.metrics.judging import evaluator, per_person, reconstructions

COLUMN = "train - test", "distance", Direction.PROTECTS, -np.inf, np.inf
Array = NDArray[np.float64]


@dataclass(frozen=True)
class MemorisationGap(Metric):
    """Distance to the nearest private training picture, minus that to the nearest held-out one of the same person.

    Between the evaluator's penultimate features. Negative: nearer to what the target was trained on. The nearest of
    more pictures is nearer by chance, so equally many count of each person: if one side has more, its distance is the
    mean over all subsets of the other's size, exactly and without drawing any.

    Evaluators have learnt from training pictures, too, which moves the zero. Compare with the control
    ``random_latents``, whose pictures remember nobody. All reconstructions count, rounded to 8 bits. If people have
    unequal numbers of them, each person's are averaged first.
    """

    paper: ClassVar[str] = ""
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """One column."""
        fakes, data = reconstructions(evidence), evidence.data
        people = fakes.labels.cpu().numpy()
        for images, what in ((data.train, "private training"), (data.test, "held-out private test")):
            alone = np.setdiff1d(people, images.labels.cpu().numpy())
            if len(alone):
                return [Measurement(*COLUMN, reason=f"no {what} picture of class {', '.join(map(str, alone[:5]))}")]
        gap = _gap(fakes, evidence)
        mean, who = per_person(gap, people)
        return [Measurement(*COLUMN, values=mean, identities=who, samples=len(gap))]


def _gap(fakes: Images, evidence: Evidence) -> Array:
    judge, data, run, mine = evaluator(evidence), evidence.data, evidence.run, fakes.labels.cpu().numpy()
    x = shared_features.of_pictures(judge, fakes, run)
    a, in_train = shared_features.of_private(judge, data, "train", mine, run)
    b, in_test = shared_features.of_private(judge, data, "test", mine, run)
    gap = np.empty(len(x))
    for label in np.unique(mine):
        own = mine == label
        to_train, to_test = cdist(x[own], a[in_train == label]), cdist(x[own], b[in_test == label])
        m = min(to_train.shape[1], to_test.shape[1])
        gap[own] = nearest_of(to_train, m) - nearest_of(to_test, m)
    return gap


def nearest_of(distances: Array, m: int) -> Array:
    """Mean, over all subsets of m columns, of the smallest distance in a subset ``(N,)``.

    The i-th smallest of n is the smallest of a subset with probability C(n - i, m - 1) / C(n, m).

    Args:
        distances: ``(N, n)``.
        m: From 1 to n.

    Example:
        >>> nearest_of(np.array([[3.0, 1.0, 2.0]]), 2)  # the pairs' minima are 1, 1 and 2
        array([1.33333333])
    """
    n = distances.shape[1]
    i = np.arange(1, n)
    ratios = np.clip(n - i - m + 1, 0, None) / (n - i)  # of neighbouring probabilities
    chances = m / n * np.cumprod(np.concatenate([[1.0], ratios]))
    return np.asarray(np.sort(distances, axis=1) @ chances)
