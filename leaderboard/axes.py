"""Axes of the drawings, and where names find room along them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.wording import number

WIDTH, HEIGHT = 640.0, 440.0
LEFT, RIGHT, FOOT = 58.0, 14.0, 74.0
_LETTER, LINE = 7.4, 19.0  # of the labels


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``.
        start: Pixel.
        end: Pixel.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self, unit: str, count: int = 5) -> tuple[tuple[float, str], ...]:
        """Round values, with their pixels."""
        step = _round_step((self.high - self.low) / count)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        shown = step * 100 if unit == "share" else step
        fine = abs(shown - round(shown)) > 1e-9 and unit == "share"  # 92.5 must not read 92
        return tuple((self(i * step), number(round(i * step, 10), unit, precise=fine)) for i in range(first, last + 1))


def utility_axis(named: Mapping[str, Estimate], useful: Mapping[str, Estimate], limits: tuple[float, float]) -> Axis:
    """Ends early enough for each name to fit to the right of its place.

    Args:
        named: Where names stand.
        useful: All that is drawn.
        limits: Smallest and largest possible utility.
    """
    ends = [end for e in useful.values() for end in e.ends]
    low, high = min(ends), max(ends)
    pad = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = max(low - pad, limits[0]), min(high + pad, limits[1])
    high = high if high > low else low + 1
    start, end = LEFT + 24, WIDTH - RIGHT - 24
    for defense, e in named.items():
        part = (e.value - low) / (high - low)
        if part > 0:
            end = min(end, start + (WIDTH - 4 - _width(defense) - start) / part)
    return Axis(low, high, start, end)


def label_rows(places: Mapping[str, float]) -> dict[str, int]:
    """A row for each name, so that no name covers another one or the line that leads down from it."""
    ends: list[float] = []
    chosen = {}
    for name in sorted(places, key=lambda name: places[name]):
        row = 1 + max((r for r, end in enumerate(ends) if end >= places[name] - 6), default=-1)
        ends[row:] = [places[name] + _width(name)]
        chosen[name] = row
    return chosen


def _width(name: str) -> float:
    return 6 + _LETTER * len(short(name))


def short(name: str, most: int = 22) -> str:
    """A long name without its middle."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


def _round_step(rough: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
