"""Results as tables in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unveil.cli.terminal import one_line, output, table
from unveil.harness.figures.published import NOT_REPRODUCED
from unveil.harness.words.names import (
    ACCEPTS_PRIVATE,
    ATTACK_ACCURACY,
    CALIBRATION,
    EVERY_JUDGE,
    MACRO,
    MEAN_OF_JUDGES,
    PANEL,
    TAKES_STRANGERS,
    TOP_1,
    TOP_5,
    UTILITY,
    Direction,
    Quantity,
)

if TYPE_CHECKING:
    from unveil.harness.figures.rows import Figure, Judge, Results, Row

# in the page and in JSON, but too much for a terminal
HIDDEN = frozenset({TOP_5, MACRO, CALIBRATION, "nearest L2"})
TRUST = (ACCEPTS_PRIVATE, TAKES_STRANGERS)  # of a judge's own figures
FIRST = (  # what a narrow terminal keeps longest; whoever is judge, the plan's first one
    (ATTACK_ACCURACY, Quantity(quantity=TOP_1)),
    (UTILITY, Quantity(quantity=TOP_1)),
    (PANEL, Quantity(quantity=MEAN_OF_JUDGES)),
    (ATTACK_ACCURACY, Quantity(quantity=TOP_1, closed=True)),
    (PANEL, Quantity(quantity=EVERY_JUDGE)),
)
WIDE = 23  # of a figure with its interval and the rule beside it


def show(results: Results) -> None:
    """One table of judges and one of cells per data set, then what failed."""
    for data in dict.fromkeys(row.data for row in results.rows):
        title = one_line(f"{results.title}: {data}")
        judges = [judge for judge in results.judges if judge.data == data]
        if judges:
            _judges(title, judges)
        rows = [row for row in results.rows if row.data == data]
        known = {figure.name: figure for row in rows for figure in row.figures if _ranked(figure)}
        seen = dict.fromkeys(row.access.value for row in rows if row.access and not row.role)
        mixed = ["access"] if len(seen) > 1 else []
        figures = fitting(known, output().width - _names_wide(rows, ("defense", "attack", *mixed)))
        heading = "" if judges else title
        if seen and not mixed:
            heading = f"{heading}{': ' * bool(heading)}access of the attacks: {', '.join(seen)}"
        made = table(heading, "defense", "attack", *mixed, *(_heading(figure) for figure in figures.values()))
        for row in rows:
            several = [part for part in (row.model, f"seed {row.seed}") if part not in _common(rows)]
            names = [" ".join([row.defense, *several]), row.attack, *(row.access or "" for _ in mixed)]
            made.add_row(*map(one_line, names), *_cells(row, list(figures)))
        output().print(made)
        if left := len(known) - len(figures):
            output().print(f"{left} more columns are on the leaderboard and in --json")
        for row in rows:
            if row.error:
                text = f"{one_line(f'{row.defense} x {row.attack}')}, seed {row.seed}: {row.status}: {row.error}"
                output().print(text, style="red", soft_wrap=True)

    _as_published(results)


def _as_published(results: Results) -> None:
    """What papers report beside ours, and what must be known of all numbers."""
    from unveil.leaderboard.published import beside  # noqa: PLC0415 (scipy takes a while)

    if found := beside(results):
        made = table("As published", "defense", "attack", "figure", "published", "here")
        for one in found:
            several = [name for name in (one.model, one.data) if len({(o.model, o.data) for o in found}) > 1]
            for pair in one.pairs:
                texts = (" ".join([one.defense, *several]), one.attack, pair.name, pair.published, pair.here)
                made.add_row(*map(one_line, texts))
        output().print(made)
        for one in found:
            differs = "; ".join(one.differs)
            output().print(one_line(f"{one.defense} x {one.attack}: {one.source}; {differs}"), soft_wrap=True)
    if results.scale < 1:
        say = f"a rehearsal at scale {results.scale:g}: these numbers say nothing of the whole plan"
        output().print(say, style="yellow", soft_wrap=True)
    if not results.reproduced:
        output().print(NOT_REPRODUCED, style="yellow", soft_wrap=True)


def fitting(figures: dict[str, Figure], width: int) -> dict[str, Figure]:
    """As many figures as there is room for, at least two, the most telling ones, in their own order."""
    judge = next((figure.judge for figure in figures.values() if figure.judge), None)
    kept = sorted(figures, key=lambda name: _rank(figures[name], judge))[: max(2, width // WIDE)]
    return {name: figure for name, figure in figures.items() if name in kept}


def _rank(figure: Figure, judge: str | None) -> int:
    if figure.judge not in (None, judge):
        return len(FIRST) + 1  # other judges' opinions come last: the panel has their mean
    own = (figure.metric, figure.about)
    return FIRST.index(own) if own in FIRST else len(FIRST)


def _names_wide(rows: list[Row], names: tuple[str, ...]) -> int:
    return sum(max((len(getattr(row, name) or "") for row in rows), default=0) + 3 for name in names)


def _ranked(figure: Figure) -> bool:
    return figure.quantity not in HIDDEN and figure.direction != Direction.DESCRIBES


def _judges(title: str, judges: list[Judge]) -> None:
    made = table(title, "judge", "knows", "accepts held-out private", "takes a stranger for one")
    for judge in judges:
        known = {figure.quantity: figure_text(figure) for figure in judge.figures}
        texts = [known.get(name, "") for name in TRUST] if known else [judge.error or judge.status, ""]
        made.add_row(one_line(judge.name), judge.knows, *texts)
    output().print(made)


def _common(rows: list[Row]) -> set[str]:
    """Models and seeds that all rows share, and a reader need not be told line by line."""
    groups = {row.model for row in rows}, {f"seed {row.seed}" for row in rows}
    return {part for group in groups if len(group) == 1 for part in group}


def _heading(figure: Figure) -> str:
    judge = f"\nby {one_line(figure.judge)}" if figure.judge else ""
    return f"{figure.metric.replace('_', ' ')}\n{figure.column}{judge}"


def _cells(row: Row, columns: list[str]) -> list[str]:
    figures = {figure.name: figure for figure in row.figures}
    return [figure_text(figures[name]) if name in figures else row.status for name in columns]


def figure_text(figure: Figure) -> str:
    """A value with its interval; shares in percent."""
    if figure.value is None:
        return "not scored"
    scale, unit = (100.0, " %") if figure.unit == "share" else (1.0, "")
    value, *ends = (f"{scale * end:.1f}" for end in (figure.value, figure.low, figure.high) if end is not None)
    return f"{value}{unit}" + (f" [{', '.join(ends)}]" if ends else "")
