"""Squared distances to nearest neighbours among many points, exact, at about the speed of the products they contain.

    |a - b|^2 = |a|^2 + |b|^2 - 2 ab

is a product of matrices, which a processor is best at, but its rounding hides small distances. So it only says who may
be near. A sweep in single precision, tile by tile, keeps the smallest value of each group of 16 points. From the bound
on its error (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1)

    |fl(ab) - ab| <= g |a| |b|,   g = F u / (1 - F u),   u = 2^-24,   F features,

follows which groups can hold one of the k nearest. Only these points are compared again, as differences in double
precision from the inputs. Identical points are at exactly 0, whatever all features have added to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

Array = NDArray[np.float64]
Real = TypeVar("Real", np.float32, np.float64)

GROUP = 16  # points that share a smallest value
TILE = 2048  # points on either side of a product
FEW = 256  # points that are compared one by one at once
MANY = 32  # groups of one point beyond which all points are compared: bounds memory where everything is equally near
PAIRS = 1 << 17  # features of pairs of points compared at a time: 1 MiB, which a cache holds
DISTANCES = 1 << 21  # in memory at once: 16 MiB
UNIT = 2.0**-24  # rounding in single precision


def nearest(x: NDArray[Real], y: NDArray[Real], k: int = 1) -> Array:
    """Squared L2 distances from each x to the k nearest y.

    Beyond its inputs it holds a copy of y in single precision and some 4 KiB for each y; no more for more x.

    Args:
        x: ``(N, F)``, finite.
        y: ``(M, F)``, finite.
        k: At least 1.

    Returns:
        ``(N, k)``, ascending; infinite where there are fewer than k.
    """
    if len(y) <= max(FEW, k):
        return _one_by_one(x, y, k)
    far = _Sweep.over(y)
    out = np.empty((len(x), k))
    for start in range(0, len(x), TILE):
        rows = slice(start, start + TILE)
        out[rows] = _certain(x[rows], y, far.candidates(x[rows], k), k)
    return out


def nearest_of_same(
    x: NDArray[Real], x_labels: NDArray[np.int64], y: NDArray[Real], y_labels: NDArray[np.int64]
) -> Array:
    """Squared L2 distance from each x to the nearest y of the same label.

    Args:
        x: ``(N, F)``.
        x_labels: ``(N,)``.
        y: ``(M, F)``.
        y_labels: ``(M,)``.

    Returns:
        ``(N,)``; infinite where no y has the label.
    """
    out = np.full(len(x), np.inf)
    for label in np.unique(x_labels):
        mine = x_labels == label
        out[mine] = nearest(x[mine], y[y_labels == label])[:, 0]
    return out


@dataclass(frozen=True)
class _Sweep:
    """All y, ready for products: centred and scaled, which no order of distances minds, and padded to whole groups.

    Attributes:
        points: ``(padded, F)`` float32. The i-th tile's j-th group is every (size / 16)-th of its points from j on.
        squares: Their squared lengths, infinite for padding.
        lengths: Largest length in each group.
        centre: What was taken off.
        scale: What was divided by: the largest number there is.
        buffer: One tile of a distance matrix.
    """

    points: Tensor
    squares: Tensor
    lengths: Tensor
    centre: Array
    scale: float
    buffer: Tensor

    @classmethod
    def over(cls, y: NDArray[Real]) -> _Sweep:
        padded = -(-len(y) // GROUP) * GROUP
        centre = y.mean(0, dtype=np.float64)
        scale = max((float(np.abs(y[i : i + TILE] - centre).max()) for i in range(0, len(y), TILE)), default=0.0) or 1.0
        points, squares = np.zeros((padded, y.shape[1]), np.float32), np.full(padded, np.inf)
        for i in range(0, len(y), TILE):
            part = (y[i : i + TILE] - centre) / scale
            points[i : i + TILE][: len(part)], squares[i : i + TILE][: len(part)] = part, (part**2).sum(1)
        lengths = np.concatenate(
            [
                np.sqrt(np.where(np.isfinite(part), part, 0)).reshape(GROUP, -1).max(0)
                for part in (squares[i : i + TILE] for i in range(0, padded, TILE))
            ]
        )
        made = [torch.from_numpy(a.astype(np.float32, copy=False)) for a in (points, squares, lengths)]
        return cls(made[0], made[1], made[2], centre, scale, torch.empty(TILE * TILE))

    def candidates(self, x: NDArray[Real], k: int) -> NDArray[np.bool_]:
        """Which groups may hold one of the k nearest of each x: ``(N, groups)``."""
        a = torch.from_numpy(((x - self.centre) / self.scale).astype(np.float32))
        least = torch.empty(len(a), len(self.lengths))
        for start in range(0, len(self.points), TILE):
            part, squares = self.points[start : start + TILE], self.squares[start : start + TILE]
            tile = self.buffer[: len(a) * len(part)].view(len(a), len(part))
            torch.addmm(squares, a, part.T, alpha=-2, out=tile)  # |b|^2 - 2ab; |a|^2 is the same for all
            groups = slice(start // GROUP, (start + len(part)) // GROUP)
            torch.amin(tile.view(len(a), GROUP, -1), 1, out=least[:, groups])
        error = self._error(torch.linalg.vector_norm(a, dim=1, keepdim=True))
        few = min(k, least.shape[1])
        most = (least + error).kthvalue(few, dim=1, keepdim=True).values  # so many are certainly no farther
        return np.asarray((~(least - error > most)).numpy())  # what overflowed may be anything

    def _error(self, length: Tensor) -> Tensor:
        """Bound on the error of |b|^2 - 2ab as computed, where ``(N, 1)`` is |a|: ``(N, groups)``."""
        terms = (self.points.shape[1] + 8) * UNIT  # beyond the product: inputs, the sum with |b|^2, this bound itself
        product, square = 2.1 * terms / (1 - terms), 8 * UNIT
        return product * length * self.lengths + square * self.lengths**2 + 1e-30


def _certain(x: NDArray[Real], y: NDArray[Real], candidates: NDArray[np.bool_], k: int) -> Array:
    """The k smallest squared distances of each x ``(N, F)`` to the points in its groups ``(N, k)``."""
    counts = candidates.sum(1)
    out = np.full((len(x), max(int(counts[counts <= MANY].max(initial=0)) * GROUP, k)), np.inf)
    all_of_them = np.flatnonzero(counts > MANY)
    if len(all_of_them):
        out[all_of_them, :k] = _one_by_one(x[all_of_them], y, k)
    rows, groups = np.nonzero(candidates & (counts <= MANY)[:, None])
    turn = np.arange(len(rows)) - np.searchsorted(rows, rows)  # which of its row's groups
    step = max(1, PAIRS // (GROUP * x.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        members = _members(groups[part], len(y))
        apart = x[rows[part], None].astype(np.float64) - y[members.clip(max=len(y) - 1)]
        found = np.einsum("nmf,nmf->nm", apart, apart)
        places = turn[part, None] * GROUP + np.arange(GROUP)
        out[rows[part, None], places] = np.where(members < len(y), found, np.inf)
    return np.sort(np.partition(out, k - 1, axis=1)[:, :k], axis=1)


def _members(groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Points in each group ``(G, 16)``; ``count`` and above are padding."""
    per_tile = TILE // GROUP
    tile, j = np.divmod(groups, per_tile)
    padded = -(-count // GROUP) * GROUP
    strides = np.minimum(TILE, padded - tile * TILE) // GROUP
    return np.asarray((tile * TILE + j)[:, None] + strides[:, None] * np.arange(GROUP))


def _one_by_one(x: NDArray[Real], y: NDArray[Real], k: int) -> Array:
    out = np.full((len(x), k), np.inf)
    step = max(1, DISTANCES // max(1, len(y)))
    for start in range(0, len(x) if len(y) else 0, step):
        found = cdist(x[start : start + step], y, "sqeuclidean")
        kept = min(k, len(y))
        out[start : start + step, :kept] = np.sort(np.partition(found, kept - 1, axis=1)[:, :kept], axis=1)
    return out
