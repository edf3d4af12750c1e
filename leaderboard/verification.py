"""What face verification systems say: their operating points, and what they accept of the attacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unveil.harness.figures.rows import Figure, Row
from unveil.harness.words.names import AREA, GENUINE, OTHERS, THRESHOLD, VERIFIED, Direction, Quantity, percent
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import estimate, scored
from unveil.leaderboard.figures import Cell, Setup, lines

SYSTEM = (GENUINE, OTHERS, THRESHOLD)  # at a rate, whatever the attack
STRICTER = 2.0  # so many times the stated rate is more than the calibration should let pass


@dataclass(frozen=True)
class Point:
    """A system at one false-accept rate; nothing of it depends on an attack.

    Attributes:
        far: The rate, a share.
        threshold: Cosine similarity above which a picture is accepted.
        genuine: Share of held-out private pictures accepted as their own person.
        others: Share of their pairs with other private people accepted.
    """

    far: float
    threshold: Cell
    genuine: Cell
    others: Cell

    @property
    def rate(self) -> str:
        """As the columns say it, such as ``1 %``."""
        return percent(self.far)

    @property
    def loose(self) -> bool:
        """Whether private people pass for each other far more often than the rate says: the public ones are unlike."""
        e = self.others.estimate
        return e is not None and e.ends[0] > STRICTER * self.far


@dataclass(frozen=True)
class Line:
    """What is accepted of one attack on one defense.

    Attributes:
        defense: The defense.
        attack: The attack.
        role: What it is a control for; empty for an attack.
        verified: Share of all reconstructions, by rate.
    """

    defense: str
    attack: str
    role: str
    verified: Mapping[float, Cell]


@dataclass(frozen=True)
class System:
    """One face verification system on one data set.

    Attributes:
        name: Name of the metric in the plan, with the judge if it has one.
        points: At the rates that were asked for, in their order.
        curve: Rate as a share, and the genuine pictures accepted there, ascending, as far as scored.
        area: Area under the ROC.
        lines: Attacks on defenses, then the controls.
    """

    name: str
    points: tuple[Point, ...]
    curve: tuple[tuple[float, Cell], ...]
    area: Cell
    lines: tuple[Line, ...]


def systems(setup: Setup) -> tuple[System, ...]:
    """All that were measured, in the order of the rows; those that scored nothing are left out."""
    named = dict.fromkeys((c.metric, c.judge) for c in setup.columns if _rate(c, VERIFIED))
    made = (_system(setup, [c for c in setup.columns if (c.metric, c.judge) == name]) for name in named)
    return tuple(s for s in made if s.curve or any(c.estimate for line in s.lines for c in line.verified.values()))


def is_system(figure: Figure) -> bool:
    """Whether a figure describes a system and no attack, so that every cell repeats it."""
    at_a_rate = figure.quantity in SYSTEM and figure.rate is not None
    return figure.direction == Direction.DESCRIBES and (at_a_rate or figure.quantity == AREA)


def _system(setup: Setup, columns: Sequence[Column]) -> System:
    verified = {rate: c for c in columns if (rate := _rate(c, VERIFIED))}
    own = {c.about: _own(setup.rows, c) for c in columns if not _rate(c, VERIFIED)}
    points = tuple(_point(rate, own) for rate in verified)
    drawn = {k.rate: c for k, c in own.items() if k.quantity == GENUINE and k.rate is not None and c.estimate}
    name = columns[0].metric + (f" by {columns[0].judge}" if columns[0].judge else "")
    area = own.get(Quantity(quantity=AREA), Cell("absent"))
    curve = tuple((far, drawn[far]) for far in sorted(drawn))
    return System(name, points, curve, area, tuple(Line(*line) for line in lines(setup, verified)))


def _rate(column: Column, quantity: str) -> float | None:
    """The rate at which a column says this; None if it says something else, or at no rate."""
    return column.about.rate if column.about.quantity == quantity else None


def _point(far: float, own: Mapping[Quantity, Cell]) -> Point:
    nothing = Cell("absent")
    three = (own.get(Quantity(quantity=what, rate=far), nothing) for what in (THRESHOLD, GENUINE, OTHERS))
    return Point(far, *three)


def _own(rows: Iterable[Row], column: Column) -> Cell:
    """A figure of the system itself: every cell repeats it, so one that is scored is enough."""
    found: list[Figure] = [f for row in rows for f in row.figures if f.name == column.name]
    good = [f for f in found if scored(f)]
    if good:
        return Cell("scored", estimate(good[0]), seeds=1)
    return Cell("unscored", reasons=tuple(dict.fromkeys(f.reason or "the value is not a number" for f in found)))
