"""Whether the rows of a setup were computed with one number of threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from unveil.leaderboard.complaints import Point
from unveil.leaderboard.figures import Setup
from unveil.leaderboard.wording import listing, plural


def mixed_threads(setup: Setup, provenance: Mapping[str, Mapping[str, Any]]) -> list[Point]:
    """Says so if not: sums in another order are other numbers.

    Args:
        setup: Whose rows.
        provenance: By artefact key. What a GPU computed does not count, nor does data, which is only read.
    """
    made = [provenance.get(key, {}) for key in {key for row in setup.rows for key in row.keys.values()}]
    computed = [one for one in made if one.get("device") == "cpu" and one.get("kind") != "data"]
    counts = Counter(one["threads"] for one in computed if isinstance(one.get("threads"), int))
    if len(counts) < 2:
        return []
    each = listing(
        [f"{plural(steps, 'step')} with {plural(threads, 'thread')}" for threads, steps in sorted(counts.items())]
    )
    text = (
        f"Not computed alike: {each}. That changes the last bits of a sum, and with them single reconstructions; a "
        f"difference of one or two of them between rows may be no more than that."
    )
    return [Point("warning", text)]
