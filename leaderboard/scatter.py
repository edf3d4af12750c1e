"""Geometry of the privacy-utility scatter; a template draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unveil.harness.words.names import Direction
from unveil.leaderboard.axes import FOOT, HEIGHT, LEFT, LINE, RIGHT, WIDTH, Axis, label_rows, short, utility_axis
from unveil.leaderboard.board import Board
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import Setup
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.wording import full

BELOW = 30.0  # room under the zero line for the words in the better corner
_DODGE = 11.0  # attacks on one target share its utility: their marks stand side by side
SHAPES = (
    "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
    "M-5.5-5.5h11v11h-11z",
    "M0-7L6.5 5h-13z",
    "M0-7.5L7.5 0L0 7.5L-7.5 0z",
    "M0 7L6.5-5h-13z",
    "M-2.2-6.5h4.4v4.3h4.3v4.4h-4.3v4.3h-4.4v-4.3h-4.3v-4.4h4.3z",
    "M0 -7.5L1.9 -2.6L7.1 -2.3L3 1L4.4 6.1L0 3.2L-4.4 6.1L-3 1L-7.1 -2.3L-1.9 -2.6z",
    "M-6.2-3.1L-3.1-6.2L0-3.1L3.1-6.2L6.2-3.1L3.1 0L6.2 3.1L3.1 6.2L0 3.1L-3.1 6.2L-6.2 3.1L-3.1 0z",
    "M7 0L-5-6.5v13z",
    "M-7 0L5-6.5v13z",
    "M-7 3a7 7 0 0 1 14 0z",
    "M-3.2-7h6.4v14h-6.4z",
)
COLOURS = 8  # that the style sheet defines


@dataclass(frozen=True)
class Mark:
    """A defense under an attack, in pixels.

    Attributes:
        defense: The defense.
        x: Middle.
        y: Middle.
        left: End of the utility interval.
        right: The other end.
        top: Upper end of the leakage interval.
        bottom: Lower end.
        shape: SVG path around the origin.
        colour: Index of the defense's colour.
        title: Tooltip.
    """

    defense: str
    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    shape: str
    colour: int
    title: str


@dataclass(frozen=True)
class Label:
    """The name of a defense above its marks: a flag on a pole that stands at its utility.

    Attributes:
        x: The pole.
        y: Base line of the text, which begins at the pole.
        bottom: Where the pole ends.
        text: The name, shortened if long.
        name: The name.
        colour: Index of the defense's colour.
    """

    x: float
    y: float
    bottom: float
    text: str
    name: str
    colour: int


@dataclass(frozen=True)
class Line:
    """What joins the strengths of a family.

    Attributes:
        path: SVG path.
        colour: Index of the family's colour.
    """

    path: str
    colour: int


@dataclass(frozen=True)
class Plot:
    """Everything the template draws.

    Attributes:
        width: Of the drawing.
        height: Of the drawing.
        left: Left edge of the frame.
        top: Its upper edge.
        right: Its right edge.
        bottom: Its lower edge.
        zero: Where the leakage axis begins.
        x_ticks: Place and text.
        y_ticks: Place and text.
        marks: One per defense and attack.
        labels: One per family of defenses.
        shapes: Path of each attack, for the legend.
        floor: Place and text of the line that luck reaches.
        x_title: Name of the utility figure.
        y_title: Name of the leakage figure.
        y_short: The same for the axis.
        lower_is_better: Whether the better corner is at the bottom.
        lines: Below the marks.
    """

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float
    zero: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    labels: tuple[Label, ...]
    shapes: Mapping[str, str]
    floor: tuple[float, str] | None
    x_title: str
    y_title: str
    y_short: str
    lower_is_better: bool
    lines: tuple[Line, ...] = ()


def scatter(board: Board) -> Plot | None:
    """Lays out the headline's leakage, one mark per number, against utility; None where one of the two is missing."""
    setup, found = board.setup, board.headline
    if setup.utility is None or found is None:
        return None
    useful = {d: e for d, c in board.utility.items() if (e := c.estimate)}
    points = {
        (d, a): e for (d, a), c in found.cells.items() if a in setup.attacks and d in useful and (e := c.estimate)
    }
    if not points:
        return None
    known = {d: useful[d] for d in useful if any(d == k for k, _ in points)}
    flagged = _flagged(setup, known)
    x = utility_axis({families(setup)[d]: e for d, e in flagged.items()}, known, setup.utility.limits)
    rows = label_rows({families(setup)[d]: x(e.value) for d, e in flagged.items()})
    top = 14 + LINE * (1 + max(rows.values()))
    low, high = found.span
    y = Axis(low, high if high > low else low + 1, HEIGHT - FOOT - BELOW, top)
    marks = _marks(setup, found, points, known, x, y)
    return Plot(
        WIDTH, HEIGHT, LEFT, top - 8, WIDTH - RIGHT, HEIGHT - FOOT, y.start,
        x.ticks(setup.utility.unit), y.ticks(found.column.unit), marks, _labels(setup, flagged, rows, marks, x),
        {a: SHAPES[i % len(SHAPES)] for i, a in enumerate(setup.attacks)}, _floor(found, y),
        f"{setup.utility.metric} · {setup.utility.column}", found.column.title,
        axis_name(found.column), found.column.direction == Direction.LEAKS,
    )  # fmt: skip


def families(setup: Setup) -> dict[str, str]:
    """What each defense is a strength of."""
    return {row.defense: row.family or row.defense for row in setup.rows}


def _flagged(setup: Setup, known: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The defenses that carry the name of their family: of all its strengths the least useful one."""
    family = families(setup)
    least: dict[str, str] = {}
    for defense, e in known.items():
        rival = least.setdefault(family[defense], defense)
        if e.value < known[rival].value:
            least[family[defense]] = defense
    return {defense: known[defense] for defense in least.values()}


def _marks(
    setup: Setup,
    found: Matrix,
    points: Mapping[tuple[str, str], Estimate],
    useful: Mapping[str, Estimate],
    x: Axis,
    y: Axis,
) -> tuple[Mark, ...]:
    marks = []
    order = list(dict.fromkeys(families(setup).values()))
    for (defense, attack), leak in points.items():
        i = setup.attacks.index(attack)
        shift = (i - (len(setup.attacks) - 1) / 2) * _DODGE
        left, right = (x(end) for end in useful[defense].ends)
        bottom, top = (y(end) for end in leak.ends)
        title = f"{defense} × {attack}: {full(leak, found.column.unit)} {found.column.title}"
        if setup.utility:
            title += f"; {full(useful[defense], setup.utility.unit)} {setup.utility.column}"
        marks.append(Mark(
            defense, round(x(useful[defense].value) + shift, 1), y(leak.value), left, right, top, bottom,
            SHAPES[i % len(SHAPES)], order.index(families(setup)[defense]) % COLOURS, title,
        ))  # fmt: skip
    return tuple(marks)


def _labels(
    setup: Setup, useful: Mapping[str, Estimate], rows: Mapping[str, int], marks: Sequence[Mark], x: Axis
) -> tuple[Label, ...]:
    labels = []
    order = list(dict.fromkeys(families(setup).values()))
    for defense, e in useful.items():
        name, place = families(setup)[defense], x(e.value)
        reach = max(m.y for m in marks if m.defense == defense)
        labels.append(Label(place, 14 + LINE * rows[name], reach, short(name), name, order.index(name) % COLOURS))
    return tuple(labels)


def _floor(found: Matrix, y: Axis) -> tuple[float, str] | None:
    low = found.floor
    return None if low is None else (y(low.value), f"luck (random latents) {full(low, found.column.unit)}")


def axis_name(column: Column) -> str:
    """The leakage figure for the upright axis."""
    lower = column.direction == Direction.LEAKS
    return f"← {'less' if lower else 'more'} leakage · {short(f'{column.metric} · {column.column}', 32)}"
