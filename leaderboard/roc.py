"""Geometry of a verification system's ROC over a logarithmic false-accept rate; a template draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unveil.leaderboard.axes import Axis
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import BASELINE
from unveil.leaderboard.scatter import SHAPES
from unveil.leaderboard.verification import System
from unveil.leaderboard.wording import bare, full

WIDTH, HEIGHT = 560.0, 360.0
LEFT, RIGHT, TOP, FOOT = 58.0, 16.0, 16.0, 52.0
_DODGE, _BESIDE = 10.0, 80.0  # attacks at one rate stand side by side, no further than so far to the right of it
_ROOM = 0.12  # decades that are left free on either side


@dataclass(frozen=True)
class Dot:
    """A share with its interval at one false-accept rate, in pixels.

    Attributes:
        x: Place.
        y: Place.
        top: Upper end of the interval.
        bottom: Lower end.
        shape: SVG path around the origin.
        kind: ``genuine``, ``stated`` (a rate that the plan asked for) or ``attack``.
        title: Tooltip.
    """

    x: float
    y: float
    top: float
    bottom: float
    shape: str
    kind: str
    title: str


@dataclass(frozen=True)
class Roc:
    """Everything the template draws.

    Attributes:
        width: Of the drawing.
        height: Of the drawing.
        left: Left edge of the frame.
        top: Its upper edge.
        right: Its right edge.
        bottom: Its lower edge.
        x_ticks: Place and text.
        y_ticks: Place and text.
        line: Path through the genuine shares.
        band: Path around their intervals.
        luck: Path of what impostors score: the rate itself.
        dots: Shares with their intervals.
        shapes: Path of each attack, for the legend.
        defense: Whose attacks are drawn.
    """

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    line: str
    band: str
    luck: str
    dots: tuple[Dot, ...]
    shapes: Mapping[str, str]
    defense: str


@dataclass(frozen=True)
class LogAxis:
    """Maps positive values to pixels by their logarithm.

    Attributes:
        along: The axis of the logarithms, to base 10.
    """

    along: Axis

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> LogAxis:
        """An axis that holds all values, with a little room on either side."""
        return cls(Axis(math.log10(min(values)) - _ROOM, math.log10(max(values)) + _ROOM, start, end))

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.along(math.log10(value))

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """One and three of each power of ten, as percent."""
        first, last = math.floor(self.along.low), math.ceil(self.along.high)
        marks = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 3)]
        inside = [mark for mark in marks if self.along.low <= math.log10(mark) <= self.along.high]
        return tuple((self(mark), f"{100 * mark:g}\u00a0%") for mark in inside)


def roc(system: System) -> Roc | None:
    """Lays out the curve of a system; None for fewer than two points.

    The attacks' shares stand below it at the rates that were asked for: those on the undefended target where there is
    one, else on the first defense.

    Args:
        system: What was measured.
    """
    points = [(far, c.estimate) for far, c in system.curve if c.estimate]
    if len(points) < 2:
        return None
    x = LogAxis.over([far for far, _ in points], LEFT, WIDTH - RIGHT)
    y = Axis(0.0, 1.0, HEIGHT - FOOT, TOP)
    defenses = list(dict.fromkeys(line.defense for line in system.lines))
    defense = BASELINE if BASELINE in defenses else next(iter(defenses), "")
    attacks = [line.attack for line in system.lines if line.defense == defense and not line.role]
    shapes = {a: SHAPES[(1 + i) % len(SHAPES)] for i, a in enumerate(attacks)}
    stated = {point.far for point in system.points}
    dots = [_genuine(far, e, far in stated, x, y) for far, e in points] + _attacks(system, defense, shapes, x, y)
    return Roc(
        WIDTH, HEIGHT, LEFT, TOP, WIDTH - RIGHT, HEIGHT - FOOT, x.ticks(), y.ticks("share"),
        _path([(x(far), y(e.value)) for far, e in points]), _band(points, x, y), _luck(x, y), tuple(dots), shapes,
        defense,
    )  # fmt: skip


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:g} {b:g}" for a, b in corners)


def _band(points: Sequence[tuple[float, Estimate]], x: LogAxis, y: Axis) -> str:
    upper = [(x(far), y(e.ends[1])) for far, e in points]
    lower = [(x(far), y(e.ends[0])) for far, e in points]
    return _path([*upper, *reversed(lower)]) + "z"


def _luck(x: LogAxis, y: Axis, steps: int = 40) -> str:
    low, high = x.along.low, x.along.high
    places = [10 ** (low + (high - low) * i / steps) for i in range(steps + 1)]
    return _path([(x(far), y(min(far, 1.0))) for far in places])


def _genuine(far: float, e: Estimate, stated: bool, x: LogAxis, y: Axis) -> Dot:
    title = f"held-out private pictures: {full(e, 'share')} accepted at a false-accept rate of {bare(far, 'share')} %"
    return _dot(x(far), e, y, SHAPES[0], "stated" if stated else "genuine", title)


def _attacks(system: System, defense: str, shapes: Mapping[str, str], x: LogAxis, y: Axis) -> list[Dot]:
    made = []
    lines = [line for line in system.lines if line.defense == defense and line.attack in shapes]
    inside = [point for point in system.points if x.along.low <= math.log10(point.far) <= x.along.high]
    step = min(_DODGE, _BESIDE / max(len(lines), 1))
    for i, line in enumerate(lines):
        for point in inside:
            if e := line.verified[point.far].estimate:
                title = f"{line.attack} on {defense}: {full(e, 'share')} verified at {point.rate}"
                made.append(_dot(round(x(point.far) + (i + 1) * step, 1), e, y, shapes[line.attack], "attack", title))
    return made


def _dot(x: float, e: Estimate, y: Axis, shape: str, kind: str, title: str) -> Dot:
    bottom, top = (y(end) for end in e.ends)
    return Dot(x, y(e.value), top, bottom, shape, kind, title)
