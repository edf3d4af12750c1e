"""Each defense against none: what the same people tell, corrected for how many defenses are compared.

The test flips signs: if a defense changed nothing, each person's difference could as well have had the other sign. That
holds for any spread of the differences, also where most of them are zero and Student's t would see too much. Holm's
correction (Scandinavian Journal of Statistics 6, 1979) keeps the probability of any false claim among the defenses of
a setup below 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from unveil.harness.intervals import SEED
from unveil.leaderboard.estimates import LEAKS, Estimate, better, difference
from unveil.leaderboard.figures import BASELINE, Matrix

ALPHA = 0.05  # two-sided, for all defenses of a setup together
POWER = 0.8
FLIPS = 9999
_ROUNDING = 1e-9

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
    raw = {d: sign_flip(list(gap.per_identity.values())) for d, gap in gaps.items() if gap}
    p = dict(zip(raw, holm(list(raw.values())), strict=True))
    return tuple(
        Comparison(
            d, _side(found.means[d], base, gap, p.get(d), found.column.direction), gap, p.get(d), len(p),
            detectable(list(gap.per_identity.values())) if gap else None,
        )
        for d, gap in gaps.items()
    )  # fmt: skip


def _side(mine: Estimate, base: Estimate, gap: Estimate | None, p: float | None, direction: str) -> Side:
    """Paired where the people are the same; else intervals must share no point, which is stricter."""
    if gap is None or p is None:
        return "less" if better(mine, base, direction) else "more" if better(base, mine, direction) else "tie"
    low, high = gap.ends
    if p > ALPHA or gap.low is None or low <= 0 <= high:
        return "tie"
    return "less" if (gap.value < 0) == (direction == LEAKS) else "more"


def sign_flip(gaps: Sequence[float]) -> float:
    """Two-sided p-value of a mean difference of zero, by random signs; never below 1 / (flips + 1).

    Example:
        >>> sign_flip([0.0, 0.0, 0.0])
        1.0
    """
    values = np.asarray(gaps, np.float64)
    seen = np.abs(_signs(len(values)) @ values) >= abs(values.sum()) - _ROUNDING
    return float((1 + seen.sum()) / (1 + len(seen)))


@lru_cache(maxsize=2)
def _signs(people: int) -> NDArray[np.float64]:
    """Signs ``(flips, people)``; the same in every process."""
    return np.random.default_rng(SEED).choice((-1.0, 1.0), size=(FLIPS, people))


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, worst = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        worst = max(worst, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = worst
    return corrected


def detectable(gaps: Sequence[float]) -> float | None:
    """Smallest true mean difference that is found with 80 % power at 5 %, two-sided, given the spread over people.

    None for fewer than six people, whose signs can never make 5 %, and where all people differ alike, which tells
    no spread.
    """
    n = len(gaps)
    spread = float(np.std(gaps, ddof=1)) if n >= 6 else 0.0
    if spread <= _ROUNDING:
        return None
    return float(stdtrit(n - 1, 1 - ALPHA / 2) + stdtrit(n - 1, POWER)) * spread / math.sqrt(n)


def smallest(found: Sequence[Comparison]) -> Mapping[str, float]:
    """The detectable differences that are known, by defense."""
    return {c.defense: c.detectable for c in found if c.detectable is not None}
