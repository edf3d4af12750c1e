"""Who is exposed: a mean over people hides that an attack may show a few of them every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import gammaln, ndtri

from unveil.harness.figures.intervals import SEED, draws, expanded, wilson
from unveil.harness.types import Direction, Evidence, Measurement, Metric
from unveil.metrics.judging import evaluator, hits, logits, reconstructions, share

SPLITS = 100  # of everybody's pictures into halves
RESAMPLES = 400  # of people
Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Exposure(Metric):
    """How many people are exposed at least once or most of the time, and how far the worst-off are.

    A reconstruction is accepted if the attacked person is the arg-max over everything the evaluator knows, as in
    ``attack_accuracy``'s top-1. Four columns.

    ``exposed at least once``: share of people of whom an attacker with ``tries`` reconstructions has one that is
    accepted. More tries find more, so all people get equally many: whoever has more gets the mean over all choices.

    ``exposed mostly``: share of people more than half of whose reconstructions are accepted.

    The last two bracket the acceptance rate of the worst-off ``tail`` of people (the expected shortfall). Whoever looks
    worst in few pictures owes some of it to luck, so the observed mean of the worst-off is too high: ``worst-off,
    at most``. Choosing them by one half of everybody's pictures and counting the other half takes the luck out
    (cross-fitting, both ways, mean over 100 random splits, ties broken at random), but half the pictures find not quite
    the worst-off: ``worst-off, at least``. It is the unbiased rate of whom they find; if all people are equally exposed
    it is their common rate, however few pictures there are. More pictures of each bring the two together.

    The shares' intervals are those of all shares. The worst-off two are no means, so their standard error is a
    bootstrap over people, each drawn with all their pictures, choosing the worst-off anew each time; the cross-fitted
    one keeps its splits. As in all intervals here it is widened as Student's t is; in simulations (40 and 158 people of
    beta-distributed rates, 3 or 6 pictures each) the interval of the cross-fitted one held the truth 91 to 93 times in
    100. Where no resample differs from another, as when nobody is exposed, it is what Wilson's
    interval allows for as many people as are in the tail.

    Attributes:
        tail: Share of people who count as worst-off; at least one person.
        tries: Reconstructions that an attacker has of each person in ``exposed at least once``; by default as many as
            there are of the person with the fewest. To compare attacks with unequal numbers, set it.
    """

    paper: ClassVar[str] = "Carlini et al., Membership Inference Attacks From First Principles, S&P 2022 (not the mean)"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = True

    tail: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    tries: Annotated[int, Field(ge=1)] | None = None

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Columns: exposed at least once, exposed mostly, and the worst-off at most and at least."""
        fakes = reconstructions(evidence)
        scores = logits(evaluator(evidence), fakes, evidence.run, "judging")
        accepted = hits(scores, fakes.labels.cpu(), 1)
        people, place, made = np.unique(fakes.labels.cpu().numpy(), return_inverse=True, return_counts=True)
        hit = np.bincount(place, weights=accepted).astype(np.int64)
        fewest = int(made.min())
        tries = fewest if self.tries is None else self.tries
        short = f"{fewest} reconstructions of a person, fewer than the {tries} tries" if fewest < tries else None
        once = np.array([]) if short else at_least_one(hit, made, tries)
        mostly = (2 * hit > made).astype(np.float64)
        return [
            _scored("exposed at least once", once, people, len(fakes), short),
            _scored("exposed mostly", mostly, people, len(fakes), None),
            *self._worst(hit, made, people),
        ]

    def _worst(self, hit: Counts, made: Counts, people: Counts) -> list[Measurement]:
        n, samples = len(people), int(made.sum())
        k = max(1, round(self.tail * n))
        title = f"worst-off {100 * self.tail:g} % of people"
        rates = (hit / made)[None]
        found = [_tail(f"{title}, at most", rates, rates, k, people, samples)]
        if made.min() < 2:
            reason = (
                "one reconstruction of a person: the worst-off are chosen by one half of them and counted in another"
            )
            return [*found, _measured(f"{title}, at least", reason=reason)]
        chosen_by, counted = halves(hit, made, SPLITS)
        return [*found, _tail(f"{title}, at least", chosen_by, counted, k, people, samples)]


def at_least_one(hit: Counts, made: Counts, tries: int) -> Array:
    """Chance that some of ``tries`` pictures, chosen without looking, is accepted: ``1 - C(m - s, t) / C(m, t)``.

    Args:
        hit: Accepted pictures s of each person ``(n,)``.
        made: All pictures m of each person ``(n,)``.
        tries: t, at most as many as anybody has.

    Example:
        >>> at_least_one(np.array([0, 1, 2]), np.array([4, 4, 2]), 2).round(6)
        array([0. , 0.5, 1. ])
    """
    missed = made - hit
    none = np.exp(_log_choose(missed.clip(min=tries), tries) - _log_choose(made, tries))
    return np.where(missed < tries, 1.0, 1.0 - none).clip(0.0, 1.0)


def halves(hit: Counts, made: Counts, splits: int) -> tuple[Array, Array]:
    """Acceptance rates in the two halves of everybody's pictures, split at random: both ``(2 * splits, n)``.

    Each split is there twice, with the halves in either role. How many of s hits among m pictures fall into a half is
    hypergeometric, whatever the order of the pictures.

    Args:
        hit: Accepted pictures of each person ``(n,)``.
        made: All pictures of each person ``(n,)``, 2 or more.
        splits: Number of splits.
    """
    rng = np.random.default_rng(SEED)  # one constant, as for intervals: equal counts have equal figures
    one = made // 2
    first = rng.hypergeometric(hit, made - hit, one, (splits, len(hit)))
    a, b = first / one, (hit - first) / (made - one)
    ties = 1e-9 * rng.random((2 * splits, len(hit)))  # far less than rates of so many pictures differ by
    return np.concatenate([a, b]) + ties, np.concatenate([b, a])


def worst(chosen_by: Array, counted: Array, k: int, times: Array) -> Array:
    """Mean rate of the k people who look worst, over all splits, where people occur so often: ``(B,)``.

    Args:
        chosen_by: Rates that the worst are chosen by ``(R, n)``.
        counted: Rates that are averaged ``(R, n)``.
        k: How many people.
        times: How often each person occurs ``(B, n)``.

    Example:
        >>> rates = np.array([[0.5, 0.0, 1.0]])
        >>> worst(rates, rates, 2, np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]]))
        array([0.75, 0.  ])
    """
    out = np.zeros(len(times))
    for choice, rate in zip(chosen_by, counted, strict=True):
        order = np.argsort(-choice, kind="stable")
        drawn = times[:, order]
        before = np.cumsum(drawn, 1) - drawn
        out += np.clip(k - before, 0.0, drawn) @ rate[order]
    return out / (k * len(counted))


def _tail(column: str, chosen_by: Array, counted: Array, k: int, people: Counts, samples: int) -> Measurement:
    n = len(people)
    value = float(worst(chosen_by, counted, k, np.ones((1, n)))[0].clip(0.0, 1.0))
    drawn = worst(chosen_by, counted, k, draws(n, RESAMPLES)) if n > 1 else np.array([value, value])
    error = float(drawn.std(ddof=1)) * (float(ndtri(expanded(n)) / ndtri(0.025)) if n > 1 else 1.0)
    if error < 1e-12:
        low, high = wilson(value, k)
        error = max(value - low, high - value) / float(ndtri(0.975))
    return _measured(column, value=value, standard_error=error, identities=people, samples=samples)


def _log_choose(n: Counts, t: int) -> Array:
    found: Array = gammaln(n + 1) - gammaln(t + 1) - gammaln(n - t + 1)
    return found


def _scored(column: str, values: Array, people: Counts, samples: int, reason: str | None) -> Measurement:
    if reason is not None:
        return _measured(column, reason=reason)
    return share(column, Direction.LEAKS, values, people, samples)


def _measured(
    column: str,
    *,
    value: float | None = None,
    standard_error: float | None = None,
    identities: Counts | None = None,
    samples: int = 0,
    reason: str | None = None,
) -> Measurement:
    return Measurement(
        column, "share", Direction.LEAKS, 0.0, 1.0,
        value=value, standard_error=standard_error, identities=identities, samples=samples, reason=reason,
    )  # fmt: skip
