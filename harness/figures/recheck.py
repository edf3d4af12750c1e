"""Computes a figure again from what it says of each person: a mean, and the interval around it. Knows no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from unveil.harness.figures.intervals import interval
from unveil.harness.figures.rows import Figure

ROUNDING = 1e-6  # of a number, or of 1 if it is smaller, that two computations of it may differ by
MOST_PEOPLE, MOST_VALUES = 5_000, 1_000_000  # that an interval is computed over again

Values = NDArray[np.float64]
Ends = tuple[float, float, float]


def same(one: float | None, other: float | None, rounding: float = ROUNDING) -> bool:
    """Whether two numbers are one but for rounding; what is no number is never the same.

    >>> same(0.5, 0.5 + 1e-9), same(0.5, 0.51), same(None, None), same(math.nan, math.nan)
    (True, False, True, False)
    """
    if one is None or other is None:
        return one is other
    return abs(one - other) <= rounding * max(1.0, abs(one), abs(other))


def differences(figure: Figure) -> Iterator[str]:
    """What in a figure contradicts the rest of it, in words without its name."""
    numbers = [x for x in (figure.value, figure.low, figure.high) if x is not None]
    if figure.value is None:
        if not figure.reason or numbers:
            yield "it has no value, and " + ("an interval" if numbers else "no reason why")
        return
    low, high = figure.range
    if not all(low - ROUNDING <= x <= high + ROUNDING for x in [*numbers, *figure.per_identity.values()]):
        yield f"not all of it lies in its range, {low:g} to {high:g}"
        return
    if not _ordered(figure):
        yield f"its value {figure.value:.6g} is not inside its interval"
        return
    yield from _counts(figure)
    yield from _again(figure)


def again(figure: Figure) -> bool:
    """Whether value and interval can be computed again from what the figure says of each person."""
    return next(_readings(figure), None) is not None


def _ordered(figure: Figure) -> bool:
    value, low, high = figure.value, figure.low, figure.high
    if low is None or high is None or value is None:
        return low is high
    return low <= value + ROUNDING * max(1.0, abs(value)) and value <= high + ROUNDING * max(1.0, abs(high))


def _counts(figure: Figure) -> Iterator[str]:
    people = len(figure.per_identity)
    if people and people != figure.identities:
        yield f"it is over {figure.identities} people and names {people}"
    if len(figure.each) > 1 and len(figure.each) != people:
        yield f"it says of {len(figure.each)} people how many values they have, and names {people}"
    if any(count < 1 for count in figure.each):
        yield "it counts people without a value"
    values = sum(figure.each) * (people if len(figure.each) == 1 else 1)
    if values > figure.samples:
        yield f"it is over {figure.samples} pictures and has {values} values"


def _again(figure: Figure) -> Iterator[str]:
    said = (figure.value, figure.low, figure.high)
    found: Ends | None = None
    for values, people in _readings(figure):
        found = _computed(figure, values, people)
        if all(same(a, b if math.isfinite(b) else None) for a, b in zip(said, found, strict=True)):
            return
    if found is not None:
        yield f"says {in_words(said)}, and its people give {in_words(found)}"


def _computed(figure: Figure, values: Values, people: NDArray[np.int64]) -> Ends:
    low, high = interval(values, people, bounds=figure.range)
    if not math.isfinite(low) or not math.isfinite(high):
        return float(values.mean()), math.inf, math.inf
    return float(values.mean()), max(low, figure.range[0]), min(high, figure.range[1])


def _readings(figure: Figure) -> Iterator[tuple[Values, NDArray[np.int64]]]:
    """Values that have each person's mean: as hits and misses if they can be, and all alike."""
    if not 0 < len(figure.per_identity) <= MOST_PEOPLE or figure.samples > MOST_VALUES:
        return
    try:
        means = [figure.per_identity[who] for who in sorted(figure.per_identity, key=int)]
    except ValueError:
        return
    for counts, hits in product(_how_many(figure), (True, False)):
        if not counts or min(counts) < 1 or sum(counts) > MOST_VALUES:
            continue
        low, high = figure.range
        parts = [_hits(m, n, low, high) if hits else np.full(n, m) for m, n in zip(means, counts, strict=True)]
        if all(part is not None for part in parts):
            yield np.concatenate([p for p in parts if p is not None]), np.repeat(np.arange(len(means)), counts)


def _how_many(figure: Figure) -> Iterator[Sequence[int]]:
    """How many values each person may have: as the figure says; else as many as pictures, or one."""
    people = len(figure.per_identity)
    if len(figure.each) == people:
        yield figure.each
    elif len(figure.each) == 1:
        yield figure.each * people
    elif not figure.each:
        even, left = divmod(figure.samples, people)
        yield from ([even] * people if not left else (), [1] * people)


def _hits(mean: float, count: int, low: float, high: float) -> Values | None:
    """Single hits and misses with that mean; None if there are none."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return None
    share = (mean - low) / (high - low) * count
    if not same(share, round(share)):
        return None
    return np.where(np.arange(count) < round(share), high, low).astype(np.float64)


def in_words(ends: Sequence[float | None]) -> str:
    """A value and the ends of its interval.

    >>> in_words((0.5, 0.25, None))
    '0.5 [0.25, none]'
    """
    value, *interval = ("none" if x is None or not math.isfinite(x) else f"{x:.6g}" for x in ends)
    return f"{value} [{', '.join(interval)}]"
