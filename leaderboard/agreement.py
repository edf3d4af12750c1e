"""Do the judges agree, and what do the stricter ones confirm of what a closed set calls a success?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import Cell, Column, Setup, lines
from unveil.leaderboard.wording import full, number

# The words of the stage that compares judges, repeated because importing them would import torch.
METRIC = "panel"
MEAN, EVERY, AGREEMENT, KAPPA = "mean of judges", "accepted by every judge", "agreement", "kappa"
TOGETHER = (MEAN, EVERY, AGREEMENT, KAPPA)
_CLOSED, _BY = "closed-set successes of ", " confirmed by "


@dataclass(frozen=True)
class Line:
    """All verdicts on one attack on one defense, picture by picture.

    Attributes:
        defense: The defense.
        attack: The attack.
        role: What it is a control for; empty for an attack.
        cells: By column of the metric.
    """

    defense: str
    attack: str
    role: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class ClosedSet:
    """A judge that has to name a private person, and whoever looks at the same pictures.

    Attributes:
        judge: Its name.
        stricter: Names of the judges that confirm or do not.
        summary: What each confirms over all attacks, in words, as far as anything was scored.
    """

    judge: str
    stricter: tuple[str, ...]
    summary: Mapping[str, str]

    @property
    def title(self) -> str:
        """Its name for a reader."""
        return plain(self.judge)

    def column(self, stricter: str) -> str:
        """Name of the figure that says what a stricter judge confirms."""
        return f"{_CLOSED}{self.judge}{_BY}{stricter}"


@dataclass(frozen=True)
class Panel:
    """What the page shows of a setup.

    Attributes:
        columns: Of the metric, by name.
        lines: Attacks on defenses, then the controls.
        closed: One for each closed-set judge.
    """

    columns: Mapping[str, Column]
    lines: tuple[Line, ...]
    closed: tuple[ClosedSet, ...]

    @property
    def together(self) -> tuple[str, ...]:
        """Columns about all judges together, as far as they were measured."""
        return tuple(name for name in TOGETHER if name in self.columns)


def panel(setup: Setup) -> Panel | None:
    """What the judges said of the same pictures; None if they were not compared or nothing was scored."""
    columns = {c.column: c for c in setup.columns if c.metric == METRIC and c.judge is None}
    found = tuple(_lines(setup, columns))
    if not any(c.estimate for line in found for c in line.cells.values()):
        return None
    names: dict[str, list[str]] = {}
    for pair in filter(None, map(_pair, columns)):
        names.setdefault(pair[0], []).append(pair[1])
    closed = tuple(ClosedSet(judge, tuple(who), _summary(judge, who, found)) for judge, who in names.items())
    return Panel(columns, found, closed)


def plain(verdict: str) -> str:
    """A verdict's name for a reader; the answer that a judge gave beside its own stands in front of its name.

    >>> print(plain("closed-set top-1 (cnn)"), "|", plain("verified (face)"), "|", plain("cnn"))
    cnn | face, verified | cnn
    """
    verdict = verdict.replace(" %", "\u00a0%")
    answer, found, judge = verdict.removesuffix(")").partition(" (")
    if not found or not verdict.endswith(")"):
        return verdict
    return judge if answer.startswith("closed-set") else f"{judge}, {answer}"


def _pair(column: str) -> tuple[str, str] | None:
    """The closed-set judge and the one that confirms; the last "confirmed by" parts them."""
    judge, found, stricter = column.removeprefix(_CLOSED).rpartition(_BY)
    return (judge, stricter) if column.startswith(_CLOSED) and found else None


def _lines(setup: Setup, columns: Mapping[str, Column]) -> Iterable[Line]:
    for defense, attack, what, cells in lines(setup, columns):
        yield Line(defense, attack, what, {name: _short(found, columns[name]) for name, found in cells.items()})


def _short(found: Cell, column: Column) -> Cell:
    """What is no share to two decimals; a kappa deserves no more."""
    e = found.estimate
    if e is None or column.is_share:
        return found
    low, high = (None if end is None else round(end, 2) for end in (e.low, e.high))
    return replace(found, estimate=replace(e, value=round(e.value, 2), low=low, high=high))


def _summary(judge: str, stricter: Sequence[str], lines: Sequence[Line]) -> dict[str, str]:
    told = {who: _confirmed(f"{_CLOSED}{judge}{_BY}{who}", lines) for who in stricter}
    return {who: text for who, text in told.items() if text}


def _confirmed(column: str, lines: Sequence[Line]) -> str:
    """From the least to the most confirmed attack; controls are none."""
    found = [(line, e) for line in lines if not line.role and (e := line.cells[column].estimate)]
    if not found:
        return ""
    (low, least), (high, most) = min(found, key=_value), max(found, key=_value)
    if len(found) == 1:
        return full(least, "share")
    if least.value == most.value:
        return f"{number(least.value, 'share')} under every attack"
    return (
        f"between {full(least, 'share')} ({low.attack} on {low.defense}) and {full(most, 'share')} "
        f"({high.attack} on {high.defense})"
    )


def _value(found: tuple[Line, Estimate]) -> float:
    return found[1].value
