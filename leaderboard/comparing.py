"""Each defense against none: what the same people tell, corrected for how many defenses are compared.

The test is that of `unveil.leaderboard.paired`. Holm's correction (Scandinavian Journal of Statistics 6, 1979) keeps
the probability of any false claim among the defenses of a setup below 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unveil.harness.words.names import Direction
from unveil.leaderboard.estimates import Estimate, better, difference
from unveil.leaderboard.figures import BASELINE
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.paired import ALPHA, clear, detectable, holm, p_value

__all__ = ["ALPHA", "Comparison", "comparisons", "smallest"]

Side = Literal["less", "more", "tie"]


@dataclass(frozen=True)
class Comparison:
    """A defense against the undefended target.

    Attributes:
        defense: The defense.
        side: Whether it leaks ``less`` or ``more``, or cannot be told apart (``tie``).
        gap: Its figure minus the undefended target's, paired; None unless both know the same people. The interval is
            for this difference alone.
        p: Corrected for all defenses compared in this way; None without the same people, when intervals that share
            no point decide.
        family: Defenses that the correction is for.
        detectable: Smallest true difference that would be found in 8 of 10 repetitions, if this were the only
            comparison; None if that is not known.
    """

    defense: str
    side: Side
    gap: Estimate | None
    p: float | None
    family: int
    detectable: float | None


def comparisons(found: Matrix) -> tuple[Comparison, ...]:
    """All defenses with a mean against none; empty where that has no mean."""
    if BASELINE not in found.means:
        return ()
    base, others = found.means[BASELINE], [d for d in found.means if d != BASELINE]
    gaps = {d: difference(found.means[d], base) for d in others}
    raw = {d: p_value(gap) for d, gap in gaps.items() if gap}
    p = dict(zip(raw, holm(list(raw.values())), strict=True))
    return tuple(
        Comparison(
            d, _side(found.means[d], base, gap, p.get(d), found.column.direction), gap, p.get(d), len(p),
            detectable(gap) if gap else None,
        )
        for d, gap in gaps.items()
    )  # fmt: skip


def _side(mine: Estimate, base: Estimate, gap: Estimate | None, p: float | None, direction: str) -> Side:
    """Paired where the people are the same; else intervals must share no point, which is stricter."""
    if gap is None or p is None:
        return "less" if better(mine, base, direction) else "more" if better(base, mine, direction) else "tie"
    if not clear(gap, p):
        return "tie"
    return "less" if (gap.value < 0) == (direction == Direction.LEAKS) else "more"


def smallest(found: Sequence[Comparison]) -> Mapping[str, float]:
    """The detectable differences that are known, by defense."""
    return {c.defense: c.detectable for c in found if c.detectable is not None}
