"""Do the judges agree, and what do the stricter ones confirm of what a closed set calls a success?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unveil.harness.words.names import AGREEMENT, EVERY_JUDGE, KAPPA, MEAN_OF_JUDGES, PANEL, Opinion, Quantity
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import Cell, Line, Setup, lines
from unveil.leaderboard.wording import full, number

TOGETHER = tuple(Quantity(quantity=word) for word in (MEAN_OF_JUDGES, EVERY_JUDGE, AGREEMENT, KAPPA))


@dataclass(frozen=True)
class ClosedSet:
    """A judge that has to name a private person, and whoever looks at the same pictures.

    Attributes:
        opinion: Its own.
        stricter: Of each opinion that confirms it or does not, the figure that says how often.
        summary: What each confirms over all attacks, in words, as far as anything was scored.
    """

    opinion: Opinion
    stricter: Mapping[Opinion, Quantity]
    summary: Mapping[Opinion, str]

    @property
    def title(self) -> str:
        """Its name for a reader."""
        return title(self.opinion)


@dataclass(frozen=True)
class Panel:
    """What the page shows of a setup.

    Attributes:
        columns: Of the metric, by what they say.
        lines: Attacks on defenses, then the controls.
        closed: One for each closed-set judge.
    """

    columns: Mapping[Quantity, Column]
    lines: tuple[Line[Quantity], ...]
    closed: tuple[ClosedSet, ...]

    @property
    def together(self) -> tuple[Quantity, ...]:
        """Columns about all judges together, as far as they were measured."""
        return tuple(about for about in TOGETHER if about in self.columns)


def panel(setup: Setup) -> Panel | None:
    """What the judges said of the same pictures; None if they were not compared or nothing was scored."""
    columns = {c.about: c for c in setup.columns if c.metric == PANEL and c.judge is None}
    found = tuple(lines(setup, columns))
    if not any(c.estimate for line in found for c in line.cells.values()):
        return None
    shown = tuple(line._replace(cells={k: _short(c, columns[k]) for k, c in line.cells.items()}) for line in found)
    stricter: dict[Opinion, dict[Opinion, Quantity]] = {}
    for about in columns:
        if about.confirmed is not None and about.confirmed_by is not None:
            stricter.setdefault(about.confirmed, {})[about.confirmed_by] = about
    closed = tuple(ClosedSet(opinion, who, _summary(who, shown)) for opinion, who in stricter.items())
    return Panel(columns, shown, closed)


def title(opinion: Opinion) -> str:
    """A judge for a reader, with the answer that it gave beside its own.

    >>> print(title(Opinion(judge="face", answer="verified")), "|", title(Opinion(judge="cnn")))
    face, verified | cnn
    """
    judge, answer = (text.replace(" %", "\u00a0%") for text in (opinion.judge, opinion.answer))
    return judge if opinion.closed or not answer else f"{judge}, {answer}"


def _short(found: Cell, column: Column) -> Cell:
    """What is no share to two decimals; a kappa deserves no more."""
    e = found.estimate
    if e is None or column.is_share:
        return found
    low, high = (None if end is None else round(end, 2) for end in (e.low, e.high))
    return replace(found, estimate=replace(e, value=round(e.value, 2), low=low, high=high))


def _summary(stricter: Mapping[Opinion, Quantity], lines: Sequence[Line[Quantity]]) -> dict[Opinion, str]:
    texts = {who: _confirmed(about, lines) for who, about in stricter.items()}
    return {who: text for who, text in texts.items() if text}


def _confirmed(about: Quantity, lines: Sequence[Line[Quantity]]) -> str:
    """From the least to the most confirmed attack; controls are none."""
    found = [(line, e) for line in lines if not line.role and (e := line.cells[about].estimate)]
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


def _value(found: tuple[Line[Quantity], Estimate]) -> float:
    return found[1].value
