"""Paired tests of two estimates about the same people, their correction, and the ranks that follow.

Over people the test flips signs: if nothing differed, each person's difference could as well have had the other sign.
That holds for any spread of the differences, also where most are zero and Student's t would see too much. Flips of
people know nothing of a second training; with two seeds or more the test over people and seeds must agree: the
larger p-value counts. With one seed the p-value is about these trainings only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from unveil.harness.figures.intervals import SEED
from unveil.harness.words.names import Direction
from unveil.leaderboard.estimates import Estimate, better, difference
from unveil.leaderboard.seeds import crossed

ALPHA = 0.05  # two-sided, for all comparisons of a family together
POWER = 0.8
FLIPS = 9999
ROOM = 40  # flips a comparison, so that the smallest p-value stays below ALPHA after correction
FEWEST = 6  # people: fewer have no signs that could make 5 %
_ROUNDING = 1e-9


def p_value(gap: Estimate, flips: int = FLIPS) -> float:
    """Two-sided p-value of a paired difference of zero, over people and, where they are known, seeds."""
    people = sign_flip(list(gap.per_identity.values()), flips)
    if len(gap.by_seed) < 2 or len(gap.per_identity) < 2:
        return people
    return max(people, crossed(_values(gap)).p())


def sign_flip(gaps: Sequence[float], flips: int = FLIPS) -> float:
    """Two-sided p-value of a mean difference of zero, by random signs; never below 1 / (flips + 1).

    Example:
        >>> sign_flip([0.0, 0.0, 0.0])
        1.0
    """
    values = np.asarray(gaps, np.float64)
    seen = np.abs(_signs(len(values), flips) @ values) >= abs(values.sum()) - _ROUNDING
    return float((1 + seen.sum()) / (1 + len(seen)))


@lru_cache(maxsize=2)
def _signs(people: int, flips: int) -> NDArray[np.float64]:
    """Signs ``(flips, people)``; the same in every process."""
    return np.random.default_rng(SEED).choice((-1.0, 1.0), size=(flips, people))


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


def clear(gap: Estimate, p: float) -> bool:
    """Whether a difference is settled: corrected p below 5 %, and an interval that leaves out zero."""
    low, high = gap.ends
    return p <= ALPHA and gap.low is not None and not low <= 0 <= high


def detectable(gap: Estimate) -> float | None:
    """Smallest true mean difference that is found with 80 % power at 5 %, two-sided, given the spread seen.

    None for fewer than six people, and where all people differ alike, which tells no spread. With two seeds or more
    the spread between trainings counts too.
    """
    n = len(gap.per_identity)
    values = list(gap.per_identity.values())
    if n < FEWEST or float(np.std(values, ddof=1)) <= _ROUNDING:
        return None
    if len(gap.by_seed) > 1:
        found = crossed(_values(gap))
        return found.half(ALPHA / 2, cautious=True) + found.half(1 - POWER, cautious=True)
    return float(stdtrit(n - 1, 1 - ALPHA / 2) + stdtrit(n - 1, POWER)) * float(np.std(values, ddof=1)) / math.sqrt(n)


def ranks(estimates: Mapping[str, Estimate], direction: str) -> dict[str, tuple[int, int]]:
    """Best and worst rank that each name could hold; 1 leaks least.

    All pairs that know the same people are tested on them, with Holm's correction over all such pairs; others are apart
    where their intervals share no point. What follows from two claims is claimed as well (a beats b, b beats c).

    Returns:
        ``(1, 2)`` means: at best first, at worst second. Equal ends mean a rank that is settled.
    """
    names = list(estimates)
    beats = _closed(_beats([estimates[n] for n in names], direction))
    above, below = beats.sum(0), beats.sum(1)
    return {name: (1 + int(above[i]), len(names) - int(below[i])) for i, name in enumerate(names)}


def _beats(found: Sequence[Estimate], direction: str) -> NDArray[np.bool_]:
    """``[i, j]``: whether i is surely better than j."""
    pairs = list(combinations(range(len(found)), 2))
    gaps = {(i, j): gap for i, j in pairs if (gap := difference(found[i], found[j]))}
    flips = max(FLIPS, ROOM * len(gaps) - 1)
    p = dict(zip(gaps, holm([p_value(gap, flips) for gap in gaps.values()]), strict=True))
    beats = np.zeros((len(found), len(found)), bool)
    for i, j in pairs:
        gap = gaps.get((i, j))
        if gap is None:
            beats[i, j], beats[j, i] = better(found[i], found[j], direction), better(found[j], found[i], direction)
        elif clear(gap, p[i, j]):
            first = (gap.value < 0) == (direction == Direction.LEAKS)
            beats[(i, j) if first else (j, i)] = True
    return beats


def _closed(beats: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With everything that follows by transitivity."""
    for k in range(len(beats)):
        beats |= np.outer(beats[:, k], beats[k])
    return beats


def _values(gap: Estimate) -> list[list[float]]:
    return [[own[k] for k in gap.per_identity] for own in gap.by_seed.values()]
