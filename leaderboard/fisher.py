"""Where in a target the information sits: Fisher information by layer, as charts and as a plain verdict.

The claim that is tested is that of TL-DMI (Ho et al., CVPR 2024): early layers matter more to model inversion than to
classification.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unveil.harness.figures.rows import Figure, Row
from unveil.harness.words.names import (
    CLASSIFICATION,
    DEPTH,
    DIFFERENCE,
    FIRST_HALF,
    INVERSION,
    LAYER_SHARE,
    Quantity,
)
from unveil.leaderboard.axes import Axis
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import Cell, Measured, Setup, cell
from unveil.leaderboard.wording import full, listing, plural, points, span

TASKS = (CLASSIFICATION, INVERSION)
TOTALS = (FIRST_HALF, DEPTH)

WIDTH = 360.0
_LETTER, _MOST = 6.3, 21  # width of a letter of a label, and letters that fit
_TOP, _FOOT = 6.0, 40.0
_MANY = 24  # layers from which the rows are drawn closer together

Conclusion = Literal["agrees", "contradicts", "cannot be told"]


def is_fisher(figure: Figure) -> bool:
    """Whether a figure is one of those that this section shows."""
    return figure.task is not None


@dataclass(frozen=True)
class Profile:
    """Where the information of one target sits, for its own task and for one attack's.

    Attributes:
        metric: Name of the metric in the plan.
        defense: Defense.
        attack: Attack.
        cells: By what they say.
    """

    metric: str
    defense: str
    attack: str
    cells: Mapping[Quantity, Cell]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names, in forward order."""
        return tuple(dict.fromkeys(about.layer for about in self.cells if about.layer is not None))

    def share(self, task: str, layer: str) -> Estimate | None:
        """A layer's share of a task's information."""
        return self._scored(Quantity(quantity=LAYER_SHARE, task=task, layer=layer))

    def total(self, task: str, what: str) -> Estimate | None:
        """What is said of all layers of a task, if it was scored."""
        return self._scored(Quantity(quantity=what, task=task))

    def _scored(self, about: Quantity) -> Estimate | None:
        found = self.cells.get(about)
        return found.estimate if found else None

    @property
    def conclusion(self) -> Conclusion:
        """What the 95 % interval of the paired difference says of the claim."""
        gap = self.total(DIFFERENCE, FIRST_HALF)
        if gap is None or gap.low is None or gap.high is None or gap.low <= 0 <= gap.high:
            return "cannot be told"
        return "agrees" if gap.low > 0 else "contradicts"

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        own, theirs, gap = (self.total(task, FIRST_HALF) for task in (*TASKS, DIFFERENCE))
        if gap is None or own is None or theirs is None:
            return f"Cannot be told: {'; '.join(self.reasons) or 'nothing was scored'}."
        verdicts = {
            "agrees": "Agrees with the claim of TL-DMI",
            "contradicts": "Contradicts the claim of TL-DMI",
            "cannot be told": "Cannot be told from these people",
        }
        return (
            f"{verdicts[self.conclusion]}: the first half of the layers holds {full(theirs, 'share')} of the inversion "
            f"task’s Fisher information and {full(own, 'share')} of the classification task’s; difference "
            f"{_points(gap, 'share')}."
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why figures are missing, each reason once."""
        return tuple(dict.fromkeys(reason for found in self.cells.values() for reason in found.reasons))


def profiles(rows: Sequence[Row]) -> list[Profile]:
    """One for each defense and attack whose Fisher information was measured, averaged over seeds; not the control."""
    found = []
    for metric in dict.fromkeys(f.metric for row in rows for f in row.figures if is_fisher(f)):
        for defense, attack in dict.fromkeys((r.defense, r.attack) for r in rows if not r.role):
            mine = [Measured.of(row) for row in rows if (row.defense, row.attack) == (defense, attack)]
            columns = {f.about: Column.of(f) for m in mine for f in m.figures.values() if f.metric == metric}
            cells = {about: cell(mine, column) for about, column in columns.items()}
            if cells:
                found.append(Profile(metric, defense, attack, cells))
    return found


def summary(found: Sequence[Profile]) -> str:
    """How often the claim holds."""
    ways: tuple[Conclusion, ...] = ("agrees", "contradicts", "cannot be told")
    counts = {way: sum(p.conclusion == way for p in found) for way in ways}
    parts = [
        f"{counts['agrees']} agree",
        f"{counts['contradicts']} contradict",
        f"{counts['cannot be told']} cannot tell",
    ]
    return f"Of {plural(len(found), 'pair')} of target and attack, {listing(parts)}."


@dataclass(frozen=True)
class Bar:
    """A layer's share of one task, in pixels.

    Attributes:
        task: Index of the task.
        y: Upper edge.
        height: Height.
        right: Where it ends.
        low: Lower end of its interval.
        high: Upper end.
        title: Tooltip.
    """

    task: int
    y: float
    height: float
    right: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Chart:
    """Everything the template draws.

    Attributes:
        profile: What is drawn.
        width: Of the drawing.
        height: Of the drawing.
        left: Where the bars begin.
        bottom: Where they end.
        ticks: Place and text.
        labels: Base line and text, and the full name, of each layer.
        bars: Two a layer, as far as scored.
    """

    profile: Profile
    width: float
    height: float
    left: float
    bottom: float
    ticks: tuple[tuple[float, str], ...]
    labels: tuple[tuple[float, str, str], ...]
    bars: tuple[Bar, ...]


def longest(found: Iterable[Profile]) -> float:
    """The end of the longest bar or interval, so that several charts can share a scale."""
    shares = [p.share(task, layer) for p in found for task in TASKS for layer in p.layers]
    return max((end for e in shares if e for end in (e.value, *e.ends)), default=1.0) or 1.0


def chart(profile: Profile, longest: float) -> Chart | None:
    """Lays out the bars of a profile; None if no layer was scored.

    Args:
        profile: What to draw.
        longest: Share at the right edge.
    """
    layers = profile.layers
    if not layers:
        return None
    row = 22.0 if len(layers) <= _MANY else 15.0
    left = 10 + _LETTER * max(len(_short(layer)) for layer in layers)
    bottom = _TOP + row * len(layers)
    x = Axis(0.0, longest, left, WIDTH - 16)
    labels = tuple((_TOP + row * (i + 0.5) + 4, _short(layer), layer) for i, layer in enumerate(layers))
    bars = (_bar(profile, t, i, row, x) for i in range(len(layers)) for t in range(len(TASKS)))
    ticks = x.ticks("share", 3)
    return Chart(profile, WIDTH, bottom + _FOOT, left, bottom, ticks, labels, tuple(bar for bar in bars if bar))


def _bar(profile: Profile, task: int, place: int, row: float, x: Axis) -> Bar | None:
    layer = profile.layers[place]
    share = profile.share(TASKS[task], layer)
    if share is None:
        return None
    low, high = (x(end) for end in share.ends)
    height = row * 0.38
    y = round(_TOP + row * (place + 0.12) + task * height, 1)
    return Bar(task, y, round(height, 1), x(share.value), low, high, f"{layer}, {TASKS[task]}: {full(share, 'share')}")


@dataclass(frozen=True)
class Section:
    """What the page shows of a setup.

    Attributes:
        summary: How often the claim holds.
        charts: Profiles with their charts; None where no layer was scored.
    """

    summary: str
    charts: tuple[tuple[Profile, Chart | None], ...]


def section(setup: Setup) -> Section | None:
    """The charts of a setup, all on one scale; None if no Fisher information was measured."""
    found = profiles(setup.rows)
    scale = longest(found)
    return Section(summary(found), tuple((p, chart(p, scale)) for p in found)) if found else None


def totals(profile: Profile) -> list[tuple[str, list[str]]]:
    """Rows of the table below the layers: classification, inversion and their difference."""
    rows = []
    for what in TOTALS:
        unit = "depth" if what == DEPTH else "share"
        own, theirs, gap = (profile.total(task, what) for task in (*TASKS, DIFFERENCE))
        texts = [full(e, unit) if e else "not scored" for e in (own, theirs)]
        rows.append((what, [*texts, _points(gap, unit) if gap else "not scored"]))
    return rows


def plain(profile: Profile) -> dict[str, object]:
    """A profile as JSON has it."""

    def numbers(e: Estimate | None) -> dict[str, float | None] | None:
        return None if e is None or not math.isfinite(e.value) else {"value": e.value, "low": e.low, "high": e.high}

    return {
        "defense": profile.defense,
        "attack": profile.attack,
        "conclusion": profile.conclusion,
        "sentence": profile.sentence,
        "layers": {layer: {task: numbers(profile.share(task, layer)) for task in TASKS} for layer in profile.layers},
        **{total: {task: numbers(profile.total(task, total)) for task in (*TASKS, DIFFERENCE)} for total in TOTALS},
    }


def share_text(profile: Profile, task: str, layer: str) -> str:
    """A layer's share with its interval."""
    share = profile.share(task, layer)
    return full(share, "share") if share else "not scored"


def _points(gap: Estimate, unit: str) -> str:
    sign, what = "+" if gap.value > 0 else "", " points" if unit == "share" else ""
    return f"{sign}{points(gap, unit)}{what} {span(gap, unit)}"


def _short(layer: str) -> str:
    return layer if len(layer) <= _MOST else f"{layer[:6]}…{layer[7 - _MOST :]}"
