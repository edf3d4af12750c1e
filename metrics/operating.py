"""Calibration of a comparer on real pairs; no reconstruction has a part in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unveil.harness.types import Images
from unveil.harness.words.run import Run
from unveil.metrics import roc
from unveil.metrics.comparers import Embeddings, People
from unveil.metrics.gallery import pairs

RESAMPLES = 200


@dataclass(frozen=True)
class Calibration:
    """What real pictures say of a comparer.

    Attributes:
        genuine: Held-out private pictures with their own person.
        others: Held-out private pictures with other people.
        impostors: These and public pictures with somebody else, descending.
        thresholds: For each rate; None where the impostor pairs do not resolve it.
        spreads: Bootstrap standard errors of the thresholds.
        area: Area under the ROC.
        area_error: Its standard error.
        pictures: How many real pictures were compared with people.
    """

    genuine: roc.Pairs
    others: roc.Pairs
    impostors: roc.Pairs
    thresholds: tuple[float | None, ...]
    spreads: tuple[float, ...]
    area: float
    area_error: float
    pictures: int

    def accepted(self, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which genuine and which impostor pairs exceed a threshold."""
        return self.genuine.scores > threshold, self.impostors.scores > threshold


def calibration(
    genuine: roc.Pairs,
    others: roc.Pairs,
    impostors: roc.Pairs,
    rates: Sequence[float],
    classes: int,
    source: Run,
    pictures: int,
) -> Calibration:
    """Thresholds at these false-accept rates, and the area under the ROC; ``source`` has the bootstrap's numbers."""
    impostors = impostors.descending()
    thresholds = [
        roc.threshold(impostors.scores, rate) if len(impostors) >= roc.needed(rate) else None for rate in rates
    ]
    rng = np.random.default_rng(source.seed("bootstrap"))
    area_error, spreads = roc.errors(genuine, impostors, rates, classes, RESAMPLES, rng)
    area = roc.area(genuine.scores, impostors.scores)
    return Calibration(genuine, others, impostors, tuple(thresholds), tuple(spreads), area, area_error, pictures)


def all_pairs(
    comparer: Embeddings, people: People, images: Images, shown: NDArray[np.int64], run: Run
) -> tuple[roc.Pairs, roc.Pairs]:
    """Genuine and impostor pairs of all pictures, which show these people ``(N,)``, with all the enrolled."""
    n, p = len(images), len(people)
    every = np.stack([np.repeat(np.arange(n), p), np.tile(np.arange(p), n)], axis=1)
    scores = comparer.compare(images, people, every, run).reshape(n, p)
    return pairs(scores, shown, people.numbers)


def joined(a: roc.Pairs, b: roc.Pairs) -> roc.Pairs:
    """Both."""
    return roc.Pairs(
        np.concatenate([a.scores, b.scores]),
        np.concatenate([a.shown, b.shown]),
        np.concatenate([a.claimed, b.claimed]),
    )
