"""What a row is in MLflow: parameters, tags, metrics and tables. Knows no MLflow.

A metric has one name in all cells, so that MLflow compares them; what differs between cells is a parameter and a tag.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.running.profile import metrics

LONGEST_TAG = 5000  # characters that MLflow keeps of a tag
TABLE = ("judge", "metric", "column", "value", "low", "high", "unit", "direction", "samples", "identities", "reason")
CELL = ("data", "model", "defense", "attack", "access", "seed")

Provenance = Mapping[str, dict[str, Any]]


def judges(row: Row) -> list[str]:
    """Who judged a row."""
    return list(dict.fromkeys(figure.judge for figure in row.figures if figure.judge))


def first_judge(row: Row) -> str | None:
    """The one whose figures stand in the cell's own run under their plain names."""
    return next(iter(judges(row)), None)


def names(row: Row, judge: str | None) -> dict[str, Any]:
    """What tells a run from others: the cell, and who judged."""
    told = row.model_dump(include=set(CELL), exclude_none=True)
    return told | {name: value for name, value in {"role": str(row.role), "judge": judge}.items() if value}


def of_matrix(results: Results) -> dict[str, Any]:
    """What holds for all cells of a matrix: that it is a rehearsal, and what papers report."""
    told: dict[str, Any] = {} if results.scale == 1 else {"scale": results.scale}
    told |= {} if results.reproduced else {"reproduced": False}
    for one in results.published:
        cell = " x ".join(filter(None, (one.data, one.target, one.defense, one.attack)))
        told[f"published {cell}"] = f"{one.accuracy:g} ({one.source})"
    return told


def params(row: Row, provenance: Provenance, judge: str | None) -> dict[str, Any]:
    """The names first, since MLflow takes so many only; then the facts, and all settings."""
    first = names(row, judge)
    return {**first, **row.facts, **settings(row, provenance), **first}


def settings(row: Row, provenance: Provenance) -> dict[str, str]:
    """All settings of the plugins behind a row, as ``role.plugin.setting``."""
    found: dict[str, str] = {}
    for key in row.keys.values():
        for role, uses in provenance.get(key, {"uses": {}})["uses"].items():
            for use in uses:
                found |= {f"{role}.{use['use']}.{name}": str(value) for name, value in use["settings"].items()}
    return found


def tags(row: Row, kind: str, judge: str | None) -> dict[str, str]:
    """Of a run of that kind: everything that people search for."""
    told = {f"unveil.{name}": str(value)[:LONGEST_TAG] for name, value in names(row, judge).items()}
    return {"unveil.kind": kind, "unveil.status": row.status, "unveil.error": (row.error or "")[:LONGEST_TAG], **told}


def values(row: Row, provenance: Provenance) -> dict[str, float]:
    """All numbers of a cell: its first judge's under plain names, and each judge's under names with the judge."""
    found = {name: float(count) for name, count in row.budget.items()}
    found |= opinion(row, first_judge(row))
    for figure in row.figures:
        found |= _ends(figure, figure.name)
    return found | metrics(provenance.get(row.keys.get("attack", ""), {}))


def opinion(row: Row, judge: str | None) -> dict[str, float]:
    """One judge's figures, and those that need none, under names without the judge."""
    found: dict[str, float] = {}
    for figure in row.figures:
        if figure.judge in {judge, None}:
            found |= _ends(figure, f"{figure.metric}/{figure.column}")
    return found


def _ends(figure: Figure, name: str) -> dict[str, float]:
    ends = {"": figure.value, " low": figure.low, " high": figure.high}
    return {name + end: value for end, value in ends.items() if value is not None}


def table(rows: Iterable[Row]) -> dict[str, list[Any]]:
    """Column by column, one line for each figure of each cell."""
    pairs = [(row, figure) for row in rows for figure in row.figures]
    cells = {name: [getattr(row, name) for row, _ in pairs] for name in CELL}
    return cells | {name: [getattr(figure, name) for _, figure in pairs] for name in TABLE}


def span(behind: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """When a step began and ended, in milliseconds, as MLflow wants it; unknown of steps that tell no time."""
    if "when" not in behind or "seconds" not in behind:
        return None, None
    end = datetime.fromisoformat(behind["when"]).timestamp()
    return int((end - behind["seconds"]) * 1000), int(end * 1000)
