"""What came of computing figures again. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from unveil.harness.running.submission.claims import Cell


@dataclass
class Rejudged:
    """What came of it, as it grows.

    Attributes:
        found: Names of figures that were computed again, by cell.
        differences: What came out otherwise, in words.
        notes: What could not be computed again, and why, in order.
    """

    found: dict[Cell, set[str]] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
