"""Curves through points, many at once: a value at a place, and the mean over a range. Never beyond the ends.

A curve is given by the places ``x`` and heights ``y`` of its points, ``(D, K)`` for D curves of K points in any order.
Its points in the order of x are joined by straight lines. Points at the same x become one, at the mean of their y.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
SAME = 1e-9  # places this near are the same: sums of the same shares in another order differ by rounding


def ordered(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """The points from left to right; those at the same place all get the mean of their heights.

    Args:
        x: ``(D, K)``.
        y: ``(D, K)``.
    """
    order = np.argsort(x, axis=1, kind="stable")
    x, y = np.take_along_axis(x, order, 1), np.take_along_axis(y, order, 1)
    same = np.abs(x[:, :, None] - x[:, None, :]) <= SAME
    return x, (same * y[:, None, :]).sum(2) / same.sum(2)


def at(x: Numbers, y: Numbers, place: Numbers) -> Numbers:
    """Height of each curve at its place; NaN beyond its ends.

    Args:
        x: Ordered ``(D, K)``, K from 2.
        y: Heights ``(D, K)``.
        place: ``(D,)``.
    """
    right = np.clip((x < place[:, None] - SAME).sum(1), 1, x.shape[1] - 1)[:, None]
    x0, x1, y0, y1 = (np.take_along_axis(a, i, 1)[:, 0] for a in (x, y) for i in (right - 1, right))
    width = x1 - x0
    part = np.clip(np.divide(place - x0, width, out=np.ones_like(width), where=width > SAME), 0, 1)
    inside = (place >= x[:, 0] - SAME) & (place <= x[:, -1] + SAME)
    return np.where(inside, y0 + part * (y1 - y0), np.nan)


def mean(x: Numbers, y: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """Mean height of each curve from ``low`` to ``high``: the area under it over its width; NaN beyond its ends.

    Args:
        x: Ordered ``(D, K)``, K from 2.
        y: Heights ``(D, K)``.
        low: ``(D,)``.
        high: ``(D,)``.
    """
    area = np.zeros(len(x))
    for k in range(x.shape[1] - 1):  # the trapezia under the lines, cut to the range
        a, b = np.maximum(x[:, k], low), np.minimum(x[:, k + 1], high)
        slope = np.divide(y[:, k + 1] - y[:, k], x[:, k + 1] - x[:, k], out=np.zeros(len(x)), where=b - a > SAME)
        area += np.maximum(b - a, 0) * (y[:, k] + slope * ((a + b) / 2 - x[:, k]))
    inside = (low >= x[:, 0] - SAME) & (high <= x[:, -1] + SAME) & (high - low > SAME)
    found: Numbers = np.divide(area, high - low, out=np.full(len(x), np.nan), where=inside)
    return found
