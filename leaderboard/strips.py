"""Small pictures inside tables: a value with its interval, the spread over people, the tint of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from unveil.harness.figures.rows import Figure
from unveil.harness.words.names import Direction
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.wording import number

TINTS = 9  # that the style sheet defines, 0 the faintest
_STRIP = 28.0  # height of a strip of people, pixels


@dataclass(frozen=True)
class Whisker:
    """An interval as a line, its value as a dot, in percent of the width.

    Attributes:
        left: Lower end.
        right: Upper end.
        at: The value.
    """

    left: float
    right: float
    at: float


def whisker(estimate: Estimate, span: tuple[float, float]) -> Whisker:
    """Places an estimate on a scale that all cells of a matrix share."""
    low, high = estimate.ends
    return Whisker(_percent(low, span), _percent(high, span), _percent(estimate.value, span))


def tint(matrix: Matrix, estimate: Estimate) -> int:
    """How deep the colour of a cell is: the more it leaks, the deeper."""
    part = _percent(estimate.value, matrix.span) / 100
    leak = 1 - part if matrix.column.direction == Direction.PROTECTS else part
    return round(leak * (TINTS - 1))


def people(values: Mapping[str, float], limits: tuple[float, float]) -> str:
    """SVG path of one bar a person, sorted; a person at the bottom of the scale keeps a stub."""
    ordered = sorted(values.values(), reverse=True)
    low = limits[0] if abs(limits[0]) != float("inf") else min(ordered)
    high = limits[1] if abs(limits[1]) != float("inf") else max(ordered)
    tall = [max(1.0, round(_percent(v, (low, high)) / 100 * _STRIP, 1)) for v in ordered]
    return "".join(f"M{4 * i + 1.5:g} {_STRIP:g}v-{t:g}" for i, t in enumerate(tall))


def spread(figure: Figure) -> str:
    """The distribution over people, in words."""
    values = figure.per_identity
    if not values:
        return ""
    low, high = min(values.values()), max(values.values())
    show = [number(v, figure.unit) for v in (low, median(values.values()), high)]
    text = f"lowest {show[0]}, median {show[1]}, highest {show[2]}"
    if found := parts(figure):
        text += f"; 100 % for {found.all}, 0 % for {found.none} of {len(values)} people"
    elif figure.unit == "share":
        text += f"; above 0 % for {sum(v > 0 for v in values.values())} of {len(values)} people"
    return text


@dataclass(frozen=True)
class Parts:
    """How many people stand at the ends of a share, and how many between.

    Attributes:
        none: People with 0 %: not one of their pictures.
        some: People between.
        all: People with 100 %: every picture.
    """

    none: int
    some: int
    all: int

    @property
    def marks(self) -> tuple[float, float]:
        """Where the people with all end and those with none begin, in percent of the width."""
        people = self.none + self.some + self.all
        return round(100 * self.all / people, 1), round(100 * (self.all + self.some) / people, 1)


def parts(figure: Figure) -> Parts | None:
    """People with none, some and all of their pictures; None for what is no share of pictures by person."""
    values = figure.per_identity.values()
    if figure.unit != "share" or figure.range != (0, 1) or not values:
        return None
    none, every = sum(v <= 0 for v in values), sum(v >= 1 for v in values)
    return Parts(none, len(values) - none - every, every)


def _percent(value: float, span: tuple[float, float]) -> float:
    low, high = span
    part = (value - low) / (high - low) if high > low else 0.0
    return round(100 * min(max(part, 0.0), 1.0), 1)
