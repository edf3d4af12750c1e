"""The site's numbers for a spreadsheet, which runs none of the text in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from unveil.harness.figures.rows import Row
from unveil.leaderboard.site.records import Number, SiteRecord

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet may run


def ranking_csv(record: SiteRecord) -> bytes:
    """Every line of the index, for a spreadsheet."""
    numbers = ("leakage", "first_judge", "utility")
    ends = [f"{name}{end}" for name in numbers for end in ("", " low", " high")]
    head = ["rank set", "data", "model", "access", "protocol", "defense", "family", "attack", *ends, "best rank",
            "worst rank", "against none", "people", "pictures", "why", "matrices", "states"]  # fmt: skip
    lines: list[list[Any]] = [head]
    for one in record.rank_sets:
        for row in one.rows:
            told = [_ends(getattr(row, name)) for name in numbers]
            lines.append([
                one.slug, one.data, one.model, one.access, one.protocol, row.defense, row.family, row.attack or "mean",
                *chain(*told), *(row.ranks or ("", "")),
                row.against_none, row.people, row.pictures, row.why, " ".join(row.matrices), " ".join(row.states),
            ])  # fmt: skip
    return csv_text(lines)


def csv_text(lines: Sequence[Sequence[Any]]) -> bytes:
    """CSV as spreadsheets read it; text that would be run as a formula gets an apostrophe in front."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([[_field(value) for value in line] for line in lines])
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "backslashreplace")


def _field(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.startswith(FORMULA) or value.lstrip().startswith(FORMULA[:4]) else str(value)


def figures_csv(rows: Sequence[Row], provenance: Mapping[str, Mapping[str, Any]]) -> bytes:
    """One line for each figure of each cell; a cell without figures keeps a line for its error.

    Args:
        rows: The cells.
        provenance: By artefact key.
    """
    budgets, facts, keys = (
        list(dict.fromkeys(name for row in rows for name in getattr(row, part))) for part in ("budget", "facts", "keys")
    )
    timed = [role for role in keys if any("seconds" in provenance.get(row.keys.get(role, ""), {}) for row in rows)]
    cell = ("data", "model", "defense", "attack", "access", "seed", "status", "error")
    figure = ("metric", "column", "judge", "value", "low", "high", "unit", "direction", "samples", "identities",
              "reason")  # fmt: skip
    lines: list[list[Any]] = [
        [*cell, *figure, *budgets, *facts, "notes", *(f"{r} key" for r in keys), *(f"{r} seconds" for r in timed)]
    ]
    for row in rows:
        behind = [
            *(row.budget.get(name) for name in budgets), *(row.facts.get(name) for name in facts),
            "; ".join(row.notes), *(row.keys.get(role) for role in keys),
            *(provenance.get(row.keys.get(role, ""), {}).get("seconds") for role in timed),
        ]  # fmt: skip
        mine = [getattr(row, name) for name in cell]
        lines += [[*mine, *(getattr(one, name, None) for name in figure), *behind] for one in row.figures or (None,)]
    return csv_text(lines)


def _ends(number: Number | None) -> tuple[float | None, ...]:
    return (number.value, number.low, number.high) if number else (None, None, None)
