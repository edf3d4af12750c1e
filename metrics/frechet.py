"""Frechet distance between two clouds of features, and how far to trust it.

    d^2 = |mu_x - mu_y|^2 + tr S_x + tr S_y - 2 tr (S_x S_y)^(1/2)          (Heusel et al. 2017, eq. 6)

With S_x = A'A and S_y = B'B, the eigenvalues of S_x S_y are the squared singular values of AB', so the last trace is
the nuclear norm of AB'. That needs no matrix square root, never turns complex, and for n < d pictures in d dimensions
works on the small (n, n) side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GROUPS = 32  # jackknife replicates at most: the error of the error is then about an eighth


def frechet_distance(x: Array, y: Array) -> float:
    """Squared Frechet distance of the normal distributions fitted to two sets of features.

    Args:
        x: ``(N, d)``, N > 1.
        y: ``(M, d)``, M > 1.

    Returns:
        At least 0; 0 for equal sets.
    """
    return _distance(x, y, _nuclear(_factor(x) @ _factor(y).T))


def standard_error(x: Array, x_people: NDArray[np.int64], y: Array, y_people: NDArray[np.int64]) -> float | None:
    """Delete-one-person jackknife: how much the distance hangs on who was attacked.

    A person leaves both sets at once. More than 32 people leave in 32 groups of nearly equal size. The bias that
    the distance has for few pictures is no part of it.

    Args:
        x: ``(N, d)``.
        x_people: ``(N,)``.
        y: ``(M, d)``.
        y_people: ``(M,)``.

    Returns:
        The standard error, or None if fewer than two pictures are left without one group.
    """
    people = np.union1d(x_people, y_people)
    groups = [people[i::GROUPS] for i in range(min(GROUPS, len(people)))]
    kept = [(~np.isin(x_people, group), ~np.isin(y_people, group)) for group in groups]
    if len(groups) < 2 or min(min(a.sum(), b.sum()) for a, b in kept) < 2:
        return None
    wide = max(x.shape[0], y.shape[0]) <= x.shape[1]
    replicates = np.array(_from_gram(x, y, kept) if wide else [frechet_distance(x[a], y[b]) for a, b in kept])
    g = len(groups)
    return float(np.sqrt((g - 1) / g * ((replicates - replicates.mean()) ** 2).sum()))


def _from_gram(x: Array, y: Array, kept: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]) -> list[float]:
    """Distances of subsets, whose cross-Gram matrices are cut from one and centred anew."""
    centre = y.mean(0)
    gram = (x - centre) @ (y - centre).T
    out = []
    for a, b in kept:
        g = gram[np.ix_(a, b)]
        g = g - g.mean(0) - g.mean(1, keepdims=True) + g.mean()
        out.append(_distance(x[a], y[b], _nuclear(g) / np.sqrt((a.sum() - 1) * (b.sum() - 1))))
    return out


def _distance(x: Array, y: Array, cross: float) -> float:
    gap = x.mean(0) - y.mean(0)
    value = gap @ gap + x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum() - 2 * cross
    return max(0.0, float(value))  # equal sets differ from 0 in the last digit


def _factor(x: Array) -> Array:
    """A with A'A the covariance: ``(min(N, d), d)``."""
    a = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return a if a.shape[0] <= a.shape[1] else np.asarray(np.linalg.qr(a, mode="r"))


def _nuclear(matrix: Array) -> float:
    return float(np.linalg.svd(matrix, compute_uv=False).sum())
