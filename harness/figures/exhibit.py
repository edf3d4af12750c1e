"""A matrix on show: its results, and what a check of them came to. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass

from unveil.harness.figures.rows import Results
from unveil.harness.figures.standing import Standing


@dataclass(frozen=True)
class Exhibit:
    """One matrix of a site.

    Attributes:
        name: Of its plan, its report or its file; pages are called by it.
        results: What came out.
        standing: What a check of results that somebody else computed came to; None if nobody checked them.
    """

    name: str
    results: Results
    standing: Standing | None = None

    @property
    def protocol(self) -> int:
        """Number of the measuring protocol; 0 if the results are older than that."""
        return self.results.protocol

    @property
    def state(self) -> str:
        """What a reader may make of the numbers, in a word or two."""
        return self.standing.state if self.standing else "not checked"

    @property
    def refuted(self) -> bool:
        """Whether a check found other numbers than these."""
        return self.state == "refuted"
