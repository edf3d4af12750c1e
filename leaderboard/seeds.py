"""What a second training adds to the spread: people and seeds, crossed.

Every seed attacks the same people, so a mean over both varies for two reasons that an average over one of them hides.
With ``A`` the mean square between people, ``B`` between seeds and ``E`` of what is left (two-way random effects, one
value a person and seed), ``(A + B - E) / (n S)`` estimates the variance of the mean over ``n`` people and ``S`` seeds.
A handful of seeds tells ``B`` badly; so each part is multiplied by the square of its own t quantile before they are
added (the modified large-sample interval, Burdick and Graybill 1992). Few seeds often lie close together by luck, which
would hide their spread; so only a part of ``E`` is taken off, as much as simulation says keeps the level. The price is
a wide interval with two seeds: they tell almost nothing of a spread. A negative ``B - E`` counts as zero: an
interval is never narrower than over people alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

SMALLEST_P = 1e-9
ROUNDING = 1e-24
TAKEN = {2: 0.1, 3: 0.25, 4: 0.25}  # part of E that is taken off: few seeds often lie close together by luck
TAKEN_OF_MORE = 0.5


@dataclass(frozen=True)
class Crossed:
    """Variance of a mean over people and seeds, by where it comes from.

    Attributes:
        mean: Over people and seeds.
        people: Variance from people, and from what differs by person and seed.
        seeds: Variance that all people of a seed share; 0 where no more is seen than chance would give.
        most: The same with nothing taken off for chance.
        n: People, at least 2.
        s: Seeds, at least 2.
    """

    mean: float
    people: float
    seeds: float
    most: float
    n: int
    s: int

    def half(self, tail: float, *, cautious: bool = False) -> float:
        """Half the width of an interval that leaves out ``tail`` at each side; cautious: with nothing taken off."""
        a, b = float(stdtrit(self.n - 1, 1 - tail)), float(stdtrit(self.s - 1, 1 - tail))
        return math.sqrt(self.people * a**2 + (self.most if cautious else self.seeds) * b**2)

    def half_of_seeds(self, tail: float) -> float:
        """The part of ``half`` that seeds alone give; 0 where no more is seen of them than chance would give."""
        return math.sqrt(self.seeds) * float(stdtrit(self.s - 1, 1 - tail))

    def stretch(self, confidence: float = 0.95) -> float:
        """How many times wider than over people alone; infinite where people do not differ and seeds do."""
        alone = float(stdtrit(self.n - 1, (1 + confidence) / 2)) ** 2 * self.people
        if alone <= 0:
            return 1.0 if self.seeds <= 0 else math.inf
        return self.half((1 - confidence) / 2) / math.sqrt(alone)

    def p(self) -> float:
        """Two-sided p-value of a mean of zero: where the cautious interval touches it.

        Cautious, since a correction for many comparisons asks for levels at which seeds that lie close by luck count.
        """
        if abs(self.mean) >= self.half(SMALLEST_P / 2, cautious=True):
            return SMALLEST_P if self.mean else 1.0
        if not self.mean:
            return 1.0
        return float(brentq(lambda p: self.half(p / 2, cautious=True) - abs(self.mean), SMALLEST_P, 1.0))


def crossed(seeds: Sequence[Sequence[float]]) -> Crossed:
    """Variance components of a mean.

    Args:
        seeds: One value a person, the same people in every seed ``(S, n)``, both at least 2.
    """
    y = np.asarray(seeds, np.float64)
    s, n = y.shape
    mean = float(y.mean())
    person, seed = y.mean(0), y.mean(1)
    a, b = s * float(person.var(ddof=1)), n * float(seed.var(ddof=1))
    rest = float(((y - person - seed[:, None] + mean) ** 2).sum()) / ((n - 1) * (s - 1))
    between = max(b - TAKEN.get(s, TAKEN_OF_MORE) * rest, 0.0)
    return Crossed(mean, a / (n * s), between / (n * s) if between > ROUNDING else 0.0, b / (n * s), n, s)
