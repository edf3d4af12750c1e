"""Results as tables in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unveil.harness.cli.terminal import output, table

if TYPE_CHECKING:
    from unveil.harness.rows import Figure, Results, Row

# in the page and in JSON, but too much for a terminal
HIDDEN = frozenset({"top-5", "macro accuracy", "1 - calibration error", "nearest L2"})
TRUST = ("accepts held-out private", "takes a stranger for a private person")  # of a judge's own figures
DESCRIBES = "neither better nor worse"  # as harness.types.Direction says, which would import torch


def show(results: Results) -> None:
    """One table of judges and one of cells per data set, then what failed."""
    for data in dict.fromkeys(row.data for row in results.rows):
        _judges(results, data)
        rows = [row for row in results.rows if row.data == data]
        figures = {figure.name: figure for row in rows for figure in row.figures if _ranked(figure)}
        made = table("", "defense", "attack", *(_heading(figure) for figure in figures.values()))
        for row in rows:
            several = [part for part in (row.model, f"seed {row.seed}") if part not in _common(rows)]
            made.add_row(" ".join([row.defense, *several]), row.attack, *_cells(row, list(figures)))
        output().print(made)
        for row in rows:
            if row.error:
                text = f"{row.defense} x {row.attack}, seed {row.seed}: {row.status}: {row.error}"
                output().print(text, style="red", markup=False, highlight=False)


def _ranked(figure: Figure) -> bool:
    return figure.column not in HIDDEN and figure.direction != DESCRIBES


def _judges(results: Results, data: str) -> None:
    made = table(f"{results.title}: {data}", "judge", "knows", "accepts held-out private", "takes a stranger for one")
    for judge in results.judges:
        if judge.data == data:
            known = {figure.column: figure_text(figure) for figure in judge.figures}
            texts = [known.get(name, "") for name in TRUST] if known else [judge.error or judge.status, ""]
            made.add_row(judge.name, judge.knows, *texts)
    output().print(made)


def _common(rows: list[Row]) -> set[str]:
    """Models and seeds that all rows share, and a reader need not be told line by line."""
    groups = {row.model for row in rows}, {f"seed {row.seed}" for row in rows}
    return {part for group in groups if len(group) == 1 for part in group}


def _heading(figure: Figure) -> str:
    judge = f"\nby {figure.judge}" if figure.judge else ""
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
