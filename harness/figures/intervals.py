"""From the values of a metric to a figure with an honest interval. Knows no torch.

The people are the sample, not their pictures: several reconstructions of one person rise and fall together. So the
interval is a bootstrap over people, each drawn with all their values.

Two ways, by what is known of the range:

* Finite at both ends (shares): the score interval of Wilson (1927) with as many trials as the spread between people
  says there are (the effective sample size of Korn and Graubard, Survey Methodology 24, 1998), with Student's t for the
  normal. Where few people have the rarer outcome the spread says little, and the trials are drawn towards one a
  person, as if all pictures of a person agreed. All 0 among 40 people gives [0, 0.088], however many pictures each has.
* Else (distances, differences): the bootstrap-t interval (Efron 1981), whose quantiles are of the studentised mean, so
  that it follows a skewed sample; never narrower at either end than Student's, which holds where few people differ
  and resamples without any spread would pretend certainty.

Coverage over a grid of settings, and the corners where no method can: docs/studies/intervals, from
benchmarks/coverage.py.

What no such interval can know is how a second training of the same target would have come out: that takes seeds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from unveil.harness.figures.rows import Figure
from unveil.harness.words.errors import UnveilError

if TYPE_CHECKING:
    from unveil.harness.words.metric import Measurement

SEED = 20_200_607  # one constant for all figures: equal values have equal intervals, and two cells share their draws
SLACK = 1e-9  # rounding by which a mean may leave its range
DOUBT = 3.0  # people with the rarer outcome at which the design effect is half learnt, half the worst
TINY = 1e-12  # spread that is rounding
FEW = 10.0  # people who must differ for a bootstrap of a difference to see its spread


def interval(
    values: ArrayLike,
    identities: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
    bounds: tuple[float, float] | None = None,
    stretch: float = 1.0,
) -> tuple[float, float]:
    """Interval of the mean over all values, from people drawn with replacement.

    A person with more values weighs more, in the mean and here. A metric that wants every person to weigh the same
    gives one value per person.

    Args:
        values: ``(N,)``, finite.
        identities: Whose value it is ``(N,)``.
        confidence: Share of repetitions in which the interval should hold the true mean, in (0, 1).
        resamples: Bootstrap repetitions.
        bounds: Smallest and largest possible value; infinite ends are as good as none.
        stretch: How many times wider, for what people alone do not tell (seeds); at least 1.

    Returns:
        Lower and upper end. Both infinite for a single person with values of no known range.

    Raises:
        UnveilError: If there is no value, one is not finite, or the lengths differ.
    """
    people, counts, sums = _per_person(values, identities)
    if bounds is not None and all(map(math.isfinite, bounds)):
        low, high = bounds
        hits = (sums - low * counts) / (high - low)
        share = min(max(float(hits.sum() / counts.sum()), 0.0), 1.0)  # rounding may leave the range
        single = bool(np.isin(values, bounds).all())
        lower, upper = wilson(share, _trials(share, counts, hits, confidence, single) / stretch**2, confidence)
        return low + lower * (high - low), low + upper * (high - low)
    if len(people) < 2:
        return -math.inf, math.inf
    mean = float(sums.sum() / counts.sum())
    lower, upper = _studentised(sums, counts, confidence, resamples)
    return mean - stretch * (mean - lower), mean + stretch * (upper - mean)


def wilson(share: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval (Wilson 1927) of a share, in [0, 1].

    Args:
        share: Observed share, in [0, 1].
        trials: Independent trials behind it, positive.
        confidence: In (0, 1).

    Example:
        >>> low, high = wilson(0.0, 40)
        >>> round(low, 3), round(high, 3)
        (0.0, 0.088)
    """
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def to_figure(metric_name: str, judge: str | None, measurement: Measurement) -> Figure:
    """A measurement with its mean and 95 % interval, checked against what the metric says of itself.

    Args:
        metric_name: Name of the metric plugin.
        judge: Name of the evaluator, if one judged.
        measurement: Values, or a value with its standard error, or a reason.

    Raises:
        UnveilError: If it holds none or several of the three, a NaN, or a value outside its own range.
    """
    m = measurement
    _check(metric_name, m)
    figure = Figure(
        **dict(m.about),
        metric=metric_name,
        judge=judge,
        unit=m.unit,
        direction=m.direction,
        range=(m.low, m.high),
        samples=m.samples,
        counted=m.counted,
        identities=0 if m.identities is None else len(np.unique(m.identities)),
        reason=m.reason,
    )
    if m.values is not None and m.identities is not None:
        return figure.model_copy(update=_from_values(m.values, m.identities, m))
    if m.value is not None:
        return figure.model_copy(update=_from_value(m.value, m))
    return figure


def _from_values(
    values: NDArray[np.float64], identities: NDArray[np.int64], m: Measurement
) -> dict[str, float | int | dict[str, float] | None]:
    people, counts, sums = _per_person(values, identities)
    low, high = _clip(interval(values, identities, bounds=(m.low, m.high)), m)
    return {
        "value": float(sums.sum() / counts.sum()),
        "low": low,
        "high": high,
        "samples": m.samples or len(values),
        "per_identity": {str(p): float(mean) for p, mean in zip(people, sums / counts, strict=True)},
    }


def _from_value(value: float, m: Measurement) -> dict[str, float | None]:
    if m.standard_error is None:
        return {"value": float(value)}
    people = 0 if m.identities is None else len(np.unique(m.identities))
    half = float(stdtrit(people - 1, 0.975) if people > 1 else ndtri(0.975)) * m.standard_error
    low, high = _clip((value - half, value + half), m)
    return {"value": float(value), "low": low, "high": high}


def _clip(ends: tuple[float, float], m: Measurement) -> tuple[float | None, float | None]:
    low, high = max(ends[0], m.low), min(ends[1], m.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _per_person(
    values: ArrayLike, identities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """People, how many values each has, and their sums."""
    v, who = np.asarray(values, np.float64), np.asarray(identities, np.int64)
    if v.ndim != 1 or v.shape != who.shape or not len(v):
        raise UnveilError(f"values of shape {v.shape} for identities of shape {who.shape}", "one of each per sample")
    if not np.isfinite(v).all():
        raise UnveilError(f"{int((~np.isfinite(v)).sum())} of {len(v)} values are not finite", "finite values only")
    people, position = np.unique(who, return_inverse=True)
    counts = np.bincount(position).astype(np.float64)
    return people, counts, np.bincount(position, weights=v).astype(np.float64)


def _trials(
    share: float, counts: NDArray[np.float64], hits: NDArray[np.float64], confidence: float, single: bool
) -> float:
    """Independent trials that would vary as much as these people do, corrected for few people by Student's t.

    Single hits and misses are never more trials than there are of them; values in between, as means over several
    pictures are, may be.
    """
    total, even = counts.sum(), _even(counts)
    n = len(counts)
    spread = n / max(n - 1, 1) * float(((hits - share * counts) ** 2).sum()) / total**2
    if n < 2 or spread <= TINY:
        return even  # nothing to tell how a person's values hang together, so suppose they all agree
    own = spread * total / (share * (1 - share))  # design effect: values that tell as much as one trial
    own = max(1.0, own) if single else own
    seen = min(_even(counts[hits > TINY]), _even(counts[counts - hits > TINY]))
    doubt = DOUBT**2 / (DOUBT**2 + seen**2)
    effect = own + doubt * (max(own, total / even) - own)
    tail = (1 - confidence) / 2
    few = float(ndtri(tail) / stdtrit(max(even - 1, 1), tail)) ** 2
    return float(total / effect) * few


def _even(counts: NDArray[np.float64]) -> float:
    """People of equal weight that would tell as much (Kish 1965)."""
    return float(counts.sum() ** 2 / (counts**2).sum()) if len(counts) else 0.0


def _studentised(
    sums: NDArray[np.float64], counts: NDArray[np.float64], confidence: float, resamples: int
) -> tuple[float, float]:
    """Bootstrap-t, no narrower at either end than Student's t."""
    n, mean = len(sums), float(sums.sum() / counts.sum())
    error = math.sqrt(n / (n - 1) * float(((sums - mean * counts) ** 2).sum())) / counts.sum()
    if error <= TINY * max(1.0, abs(mean)):
        return mean, mean
    drawn = draws(n, resamples)
    total = drawn @ counts
    means = (drawn @ sums) / total
    off = sums - mean * counts  # about the mean, so that no digits are lost; each draw's own mean is taken off below
    squares = drawn @ off**2 - 2 * (means - mean) * (drawn @ (off * counts)) + (means - mean) ** 2 * (drawn @ counts**2)
    errors = np.sqrt(n / (n - 1) * np.maximum(squares, 0.0)) / total
    known = errors > 1e-6 * error
    student = np.divide(means - mean, errors, out=np.zeros(len(means)), where=known)
    tail, t = (1 - confidence) / 2, float(stdtrit(n - 1, (1 + confidence) / 2))
    low, high = np.quantile(student, (tail, 1 - tail))
    return mean - max(float(high), t) * error, mean + max(float(-low), t) * error


@lru_cache(maxsize=2)
def draws(people: int, resamples: int) -> NDArray[np.float64]:
    """How often each person is drawn in each resample, ``(resamples, people)``; the same in every process."""
    drawn = np.random.default_rng(SEED).multinomial(people, np.full(people, 1 / people), size=resamples)
    return drawn.astype(np.float64)


def expanded(people: int, confidence: float = 0.95) -> float:
    """Lower quantile of a bootstrap over so many people (2 or more), moved outwards as Student's t is wider.

    Example:
        >>> round(expanded(20), 4), round(expanded(100_000), 4)
        (0.0159, 0.025)
    """
    return float(ndtr(stdtrit(people - 1, (1 - confidence) / 2) * math.sqrt(people / (people - 1))))


def _check(metric: str, m: Measurement) -> None:
    where = f"{metric}/{m.column}"
    if sum(x is not None for x in (m.values, m.value, m.reason)) != 1:
        raise UnveilError(
            f"{where} does not give exactly one of values, value and reason",
            "values, or a value, or the reason why it is not scored",
            "correct the metric",
        )
    if (m.values is not None) and (m.identities is None or not len(m.values)):
        raise UnveilError(f"{where} gives no value or does not say whose", "values (N,) and identities (N,), N > 0")
    numbers = m.values if m.values is not None else np.array([x for x in (m.value, m.standard_error) if x is not None])
    if not np.isfinite(numbers).all():
        raise UnveilError(
            f"{where} gives {int((~np.isfinite(numbers)).sum())} values that are not finite",
            "finite numbers",
            "find the NaN, or give the reason why it is not scored",
        )
    scored = numbers if m.values is not None else numbers[:1]
    if len(scored) and (scored.min() < m.low - SLACK or scored.max() > m.high + SLACK):
        raise UnveilError(
            f"{where} gives values from {scored.min():.6g} to {scored.max():.6g}",
            f"values from {m.low:g} to {m.high:g}, the range it declares",
            "correct the metric or its range",
        )
