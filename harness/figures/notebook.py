"""Results in a notebook: a table of all figures, and a small page. Knows no torch."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from unveil.harness.words.names import HEADLINE, MEAN_OF_JUDGES, PANEL, TOP_1, UTILITY

if TYPE_CHECKING:
    import pandas as pd

    from unveil.harness.figures.rows import Figure, Results, Row

SHOWN = (HEADLINE, (PANEL, MEAN_OF_JUDGES), (UTILITY, TOP_1))  # metric and quantity, of the first judge
CELL = ("data", "model", "defense", "attack", "access", "role", "seed", "status")
FIGURE = ("metric", "column", "judge", "value", "low", "high", "unit", "direction", "samples", "identities", "reason")


def frame(results: Results) -> pd.DataFrame:
    """One line for each figure of each cell: values with their 95 % intervals, or the reason why there is none.

    A cell that failed has one line without a figure, with its error.
    """
    import pandas as pd  # noqa: PLC0415 (takes a while)

    lines: list[dict[str, Any]] = []
    for row in results.rows:
        cell = {name: _plain(getattr(row, name)) for name in CELL} | {"error": row.error}
        figures = [{name: _plain(getattr(figure, name)) for name in FIGURE} for figure in row.figures]
        lines += [{**cell, **figure} for figure in figures or [dict.fromkeys(FIGURE)]]
    return pd.DataFrame(lines, columns=[*CELL, *FIGURE, "error"])


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value  # an enum is its word


def html(results: Results) -> str:
    """Title, and for each cell the headline figures or what went wrong; everything from outside is escaped."""
    heads = ["defense", "attack", *(f"{metric}: {quantity}" for metric, quantity in SHOWN)]
    lines = [_line(row, results) for row in results.rows]
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in lines)
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    done = sum(row.status == "done" for row in results.rows)
    title = f"<strong>{escape(results.title)}</strong>: {done} of {len(results.rows)} cells done"
    return f"<div>{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _line(row: Row, results: Results) -> list[str]:
    several = [str(getattr(row, name)) for name in ("data", "model", "seed") if len(_values(results, name)) > 1]
    name = " ".join([row.defense, *several])
    if row.status != "done":
        return [name, row.attack, f"{row.status}: {row.error or ''}", *[""] * (len(SHOWN) - 1)]
    return [name, row.attack, *(_first(row, metric, quantity) for metric, quantity in SHOWN)]


def _values(results: Results, name: str) -> set[object]:
    return {getattr(row, name) for row in results.rows}


def _first(row: Row, metric: str, quantity: str) -> str:
    found = (f for f in row.figures if f.metric == metric and f.quantity == quantity and not f.closed)
    return _text(next(found, None))


def _text(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "not scored" if figure is not None else ""
    ends = "" if figure.low is None or figure.high is None else f" [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"
    return f"{100 * figure.value:.1f} %{ends}"
