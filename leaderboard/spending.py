"""What an attack spent: queries, gradients, and seconds where the artefacts were made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unveil.harness.figures.rows import Row

KINDS = {"attack": "attack", "prior": "prior", "student": "students"}  # of steps, and what a reader calls them


def spent(row: Row, what: str) -> dict[str, int]:
    """Who asked how many ``queries`` or ``gradients`` of the target; limits are left out.

    Args:
        row: The cell.
        what: What was asked for.
    """
    return {name: count for name, count in row.budget.items() if name.endswith(f" {what}")}


def seconds(row: Row, provenance: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Wall time of the attack and those it wraps, of priors and of all students, as far as known.

    It is what making the artefact took, on whatever machine: rows do not hold it, since they are equal wherever and in
    however many pieces they were computed. A prior that several attacks share is counted for each of them.

    Args:
        row: The cell.
        provenance: By artefact key.
    """
    found: dict[str, float] = {}
    for key, role in {key: role for role, key in row.keys.items()}.items():
        made = provenance.get(key, {})
        who, took = KINDS.get(made.get("kind", role)), made.get("seconds")
        if who and isinstance(took, int | float) and math.isfinite(took):
            found[who] = found.get(who, 0.0) + float(took)
    order = list(KINDS.values())
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def clock(took: float) -> str:
    """Seconds as a reader sees them.

    >>> clock(0.42), clock(75.2), clock(7384)
    ('0.42', '75', '7,384')
    """
    return f"{took:,.2f}" if took < 1 else f"{took:,.1f}" if took < 10 else f"{took:,.0f}"
