"""Geometry of the privacy-utility curves; the scatter's template draws them."""

from __future__ import annotations

import numpy as np

from unveil.harness.words.names import Direction
from unveil.leaderboard import polyline
from unveil.leaderboard.axes import FOOT, HEIGHT, LEFT, LINE, RIGHT, WIDTH, Axis, label_rows, short, utility_axis
from unveil.leaderboard.figures import BASELINE
from unveil.leaderboard.polyline import Numbers
from unveil.leaderboard.scatter import BELOW, COLOURS, SHAPES, Label, Line, Mark, Plot, axis_name
from unveil.leaderboard.strengths import Family, Strength
from unveil.leaderboard.tradeoff import Tradeoff
from unveil.leaderboard.wording import full


def curves(found: Tradeoff) -> Plot | None:
    """Lays out one curve a family; None where there is no curve."""
    families = [f for f in found.families if f.points]
    if found.none is None or not families:
        return None
    ends = {f.name: min(f.points, key=lambda p: p.utility.value) for f in families} | {BASELINE: found.none}
    everything = {p.defense: p.utility for p in (found.none, *(p for f in families for p in f.points))}
    x = utility_axis({name: p.utility for name, p in ends.items()}, everything, found.utility.limits)
    rows = label_rows({name: x(p.utility.value) for name, p in ends.items()})
    top = 14 + LINE * (1 + max(rows.values()))
    y = Axis(0.0, 1.0, HEIGHT - FOOT - BELOW, top)
    look = {BASELINE: 0, **{f.name: 1 + i % (COLOURS - 1) for i, f in enumerate(families)}}
    marks = [_mark(found, BASELINE, found.none, look, x, y)]
    marks += [_mark(found, f.name, p, look, x, y) for f in families for p in f.points]
    return Plot(
        WIDTH, HEIGHT, LEFT, top - 8, WIDTH - RIGHT, HEIGHT - FOOT, y.start,
        x.ticks(found.utility.unit), y.ticks(found.leak.unit), tuple(marks),
        tuple(Label(x(p.utility.value), 14 + LINE * rows[name], y(p.leak.value), short(name), name, look[name])
              for name, p in ends.items()),
        {name: SHAPES[i % len(SHAPES)] for name, i in look.items()}, None,
        f"{found.utility.metric} · {found.utility.column}", found.leak.title, axis_name(found.leak),
        found.leak.direction == Direction.LEAKS, tuple(_line(f, found.none, look[f.name], x, y) for f in families),
    )  # fmt: skip


def _line(family: Family, none: Strength, colour: int, x: Axis, y: Axis) -> Line:
    """Through the points in the order of utility, as they are compared."""
    points = (none, *family.points)
    places, heights = polyline.ordered(_row([p.utility.value for p in points]), _row([p.leak.value for p in points]))
    corners = dict.fromkeys(f"{x(u)} {y(v)}" for u, v in zip(places[0], heights[0], strict=True))
    return Line("M" + "L".join(corners), colour)


def _row(values: list[float]) -> Numbers:
    return np.array([values])


def _mark(found: Tradeoff, name: str, point: Strength, look: dict[str, int], x: Axis, y: Axis) -> Mark:
    left, right = (x(end) for end in point.utility.ends)
    bottom, top = (y(end) for end in point.leak.ends)
    title = (
        f"{point.defense}: {full(point.leak, found.leak.unit)} {found.leak.title}; "
        f"{full(point.utility, found.utility.unit)} {found.utility.column}"
    )
    return Mark(
        point.defense, x(point.utility.value), y(point.leak.value), left, right, top, bottom,
        SHAPES[look[name] % len(SHAPES)], look[name], title,
    )  # fmt: skip
