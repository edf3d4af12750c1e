"""Whether the rows of a setup were computed with one precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from unveil.harness.words.names import Access
from unveil.leaderboard.complaints import Point
from unveil.leaderboard.figures import Setup
from unveil.leaderboard.wording import listing, plural

WORDS = {"full": "float32", "mixed": "bfloat16"}


def mixed_precisions(setup: Setup, provenance: Mapping[str, Mapping[str, Any]]) -> list[Point]:
    """Says so if not, for targets and for white-box attacks: only these are ever computed in another one.

    Args:
        setup: Whose rows.
        provenance: By artefact key.
    """
    inside = [row for row in setup.rows if row.access is Access.WHITE_BOX]
    rows = {"target": setup.rows, "attack": inside}
    made = {kind: {row.keys.get(kind, "") for row in of} for kind, of in rows.items()}
    unlike = [told for kind, keys in made.items() if (told := _told(kind, [provenance.get(key, {}) for key in keys]))]
    if not unlike:
        return []
    text = (
        f"Not computed with one precision: {listing(unlike)}. bfloat16 rounds to 8 bits inside a network; a small "
        f"difference between such rows may be no more than that."
    )
    return [Point("warning", text)]


def _told(kind: str, made: list[Mapping[str, Any]]) -> str:
    """Steps of a kind by precision; empty where there is one."""
    counts = Counter(WORDS[one["precision"]] for one in made if one.get("precision") in WORDS)
    if len(counts) < 2:
        return ""
    return listing([f"{plural(steps, kind)} in {name}" for name, steps in sorted(counts.items())])
