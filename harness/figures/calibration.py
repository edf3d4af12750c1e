"""Whether a classifier is right as often as it says: expected calibration error. Of targets and of judges alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15


def calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.float64], people: NDArray[np.int64], bins: int
) -> tuple[float, float | None]:
    """Expected calibration error: over bins, the mean of |accuracy - confidence| by share of pictures.

    Args:
        confidence: Of the answer ``(N,)``, in [0, 1].
        right: 1 where the answer is right ``(N,)``.
        people: Whose picture it is ``(N,)``.
        bins: Number of equally wide bins.

    Returns:
        The error in [0, 1], and its standard error (delete-one-person jackknife; None for one person).
    """
    who, position = np.unique(people, return_inverse=True)
    cell = position * bins + np.minimum((confidence * bins).astype(np.int64), bins - 1)
    # Per person and bin: pictures, and how many more were right than confidence promised.
    count = np.bincount(cell, minlength=len(who) * bins).reshape(-1, bins).astype(np.float64)
    excess = np.bincount(cell, weights=right - confidence, minlength=len(who) * bins).reshape(-1, bins)
    error = float(np.abs(excess.sum(0)).sum() / count.sum())
    n = len(who)
    if n < 2:
        return error, None
    without = np.abs(excess.sum(0) - excess).sum(1) / (count.sum() - count.sum(1))
    return error, float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
