"""Frechet distance between two clouds of features, and how far to trust it.

    d^2 = |mu_x - mu_y|^2 + tr S_x + tr S_y - 2 tr (S_x S_y)^(1/2)          (Heusel et al. 2017, eq. 6)

The last trace needs no matrix square root, only the eigenvalues L of S_x S_y, taken from a symmetric problem of the
smallest side there is. With S_x = A'A and S_y = B'B these are

    for n <= d pictures in d dimensions, those of the Gram matrix (AB')(AB')', which is (n, n);
    for n > d, those of the pencil S_y z = L S_x^(-1) z, which is (d, d).

An eigenvalue is known to some 1e-15 of the largest, so the roots of small ones are not. Where that could move the
distance by more than a part in 1e7 (sets that are nearly equal, covariances that are nearly singular), the singular
values of AB' are taken instead, which are these roots and known much better, in three times the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
ROUNDING = 8 * np.finfo(np.float64).eps  # error of an eigenvalue, in parts of the largest; measured: some 2 eps
TOLERANCE = 1e-7  # error of the distance that eigenvalues may cause, in parts of it


def frechet_distance(x: Array, y: Array) -> float:
    """Squared Frechet distance of the normal distributions fitted to two sets of features.

    Args:
        x: ``(N, d)``, N > 1.
        y: ``(M, d)``, M > 1.

    Returns:
        At least 0; 0 for equal sets.
    """
    a, b = sorted((_scaled(x), _scaled(y)), key=len)
    gap = x.mean(0) - y.mean(0)
    rest = float(gap @ gap + (a**2).sum() + (b**2).sum())
    try:
        values = _eigenvalues(a, b)
    except np.linalg.LinAlgError:  # a covariance that is not positive definite, though n > d
        return _from_roots(rest, _singular_values(a, b))
    roots, error = np.sqrt(values), ROUNDING * values.max()
    moved = (np.sqrt(values + error) - np.sqrt((values - error).clip(min=0))).sum()
    if moved > TOLERANCE * abs(rest - 2 * roots.sum()):
        roots = _singular_values(a, b)
    return _from_roots(rest, roots)


def standard_error(x: Array, x_people: Labels, y: Array, y_people: Labels) -> float | None:
    """Delete-one-person jackknife to first order: how much the distance hangs on who was attacked.

    A person leaves both sets at once. That would take a decomposition for each person. But the last trace is a minimum
    over maps T between the clouds,

        2 tr (S_x S_y)^(1/2) = min over T of  tr T S_x + tr T^(-1) S_y          (Olkin and Pukelsheim 1982),

    so that T may stay as it is: without a person, means and covariances are exact, and the trace is wrong in second
    order only. The replicates so found are Kantorovich duals, never above the exact ones. The bias that the distance
    has for few pictures is no part of the error.

    Args:
        x: ``(N, d)``.
        x_people: ``(N,)``.
        y: ``(M, d)``.
        y_people: ``(M,)``.

    Returns:
        The standard error, or None if fewer than two pictures are left without one person.
    """
    found = replicates(x, x_people, y, y_people)
    if found is None:
        return None
    p = len(found)
    return float(np.sqrt((p - 1) / p * ((found - found.mean()) ** 2).sum()))


def replicates(x: Array, x_people: Labels, y: Array, y_people: Labels) -> Array | None:
    """The distance without each of the people in turn, to first order ``(P,)``; arguments as for the error."""
    people = np.union1d(x_people, y_people)
    of_x, of_y = _Without(x_people, people), _Without(y_people, people)
    if len(people) < 2 or min(of_x.left.min(), of_y.left.min()) < 2:
        return None
    s, t = _matched(x, y)
    apart = ((of_x.means(x) - of_y.means(y)) ** 2).sum(1)
    return np.asarray(apart + of_x.traces(x) + of_y.traces(y) - of_x.traces(s) - of_y.traces(t))


@dataclass(frozen=True)
class _Without:
    """A set of pictures without one person, for each of the people in turn."""

    labels: Labels
    people: Labels

    @property
    def places(self) -> Labels:
        return np.searchsorted(self.people, self.labels)

    @property
    def left(self) -> Array:
        """How many pictures ``(P,)``."""
        return len(self.labels) - np.bincount(self.places, minlength=len(self.people)).astype(np.float64)

    def means(self, x: Array) -> Array:
        """Means of ``(N, d)``: ``(P, d)``."""
        own = np.zeros((len(self.people), x.shape[1]))
        np.add.at(own, self.places, x)
        return np.asarray((x.sum(0) - own) / self.left[:, None])

    def traces(self, x: Array) -> Array:
        """Traces of the covariances of ``(N, d)``: ``(P,)``."""
        x = x - x.mean(0)  # sums of squares about zero would cancel
        squares = (x**2).sum(1)
        own = np.bincount(self.places, weights=squares, minlength=len(self.people))
        about = squares.sum() - own - self.left * (self.means(x) ** 2).sum(1)
        return np.asarray(about / (self.left - 1))


def _scaled(x: Array) -> Array:
    """A with A'A the covariance ``(N, d)``."""
    return np.asarray((x - x.mean(0)) / np.sqrt(len(x) - 1))


def _eigenvalues(a: Array, b: Array) -> Array:
    """Of S_x S_y, none below 0. ``a`` has the fewer rows.

    Raises:
        LinAlgError: If there are more rows than columns and S_x is singular.
    """
    if len(a) <= a.shape[1]:
        cross = a @ b.T
        values = linalg.eigvalsh(cross @ cross.T, driver="ev", check_finite=False)
    else:
        values = linalg.eigh(b.T @ b, a.T @ a, type=2, eigvals_only=True, driver="gv", check_finite=False)  # type: ignore[call-overload]
    return np.asarray(values).clip(min=0)


def _singular_values(a: Array, b: Array) -> Array:
    """Of AB': the square roots of the eigenvalues."""
    return np.asarray(np.linalg.svd(_triangle(a)[1] @ _triangle(b)[1].T, compute_uv=False))


def _triangle(a: Array) -> tuple[Array, Array]:
    """Q with orthonormal columns and R of no more than d rows, whose product is A."""
    return (np.eye(len(a)), a) if len(a) <= a.shape[1] else np.linalg.qr(a)


def _from_roots(rest: float, roots: Array) -> float:
    return max(0.0, rest - 2 * float(roots.sum()))  # equal sets differ from 0 in the last digit


def _matched(x: Array, y: Array) -> tuple[Array, Array]:
    """Both clouds in coordinates where both have the covariance (S_x S_y)^(1/2), as a diagonal matrix.

    These are x T^(1/2) and y T^(-1/2) up to a rotation, so the squares sum to tr T S_x and tr T^(-1) S_y.
    """
    (qa, ra), (qb, rb) = _triangle(_scaled(x)), _triangle(_scaled(y))
    u, roots, v = np.linalg.svd(ra @ rb.T, full_matrices=False)
    s, t = qa @ (u * np.sqrt(roots)), qb @ (v.T * np.sqrt(roots))
    return s * np.sqrt(len(x) - 1), t * np.sqrt(len(y) - 1)
