"""What several judges make of the same pictures: how far they agree, and whose successes the others confirm.

A closed-set judge has to name a private person, so much of what it accepts is nobody's face. How much of it a stricter
judge confirms, picture by picture, says what its figure is worth. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.harness.figures.intervals import draws, expanded, interval
from unveil.harness.figures.rows import Figure, each
from unveil.harness.words.names import (
    AGREEMENT,
    CONFIRMED,
    EVERY_JUDGE,
    KAPPA,
    MEAN_OF_JUDGES,
    PANEL,
    Direction,
    Opinion,
    Quantity,
)

RESAMPLES = 2000
ENOUGH = 0.95  # share of the resamples that must have a kappa, or its interval means little

Bits = NDArray[np.bool_]
People = NDArray[np.int64]


@dataclass(frozen=True)
class Verdict:
    """One judge's yes or no to each reconstruction of a cell.

    Attributes:
        opinion: Who judges, and which of its answers this is.
        accepted: ``(N,)``, in the attack's order.
        people: Whom each picture should show ``(N,)``.
        closed: Whether it had to name a private person.
        evaluator: Whether it is one of the plan's evaluators, by the answer that is their headline.
    """

    opinion: Opinion
    accepted: Bits
    people: People
    closed: bool = False
    evaluator: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON has it; `read` takes it back."""
        return {
            "opinion": self.opinion.model_dump(),
            "accepted": "".join("01"[int(bit)] for bit in self.accepted),
            "people": self.people.tolist(),
            "closed": self.closed,
            "evaluator": self.evaluator,
        }


def read(plain: Mapping[str, Any]) -> Verdict:
    """What `Verdict.plain` wrote."""
    bits = np.array([bit == "1" for bit in plain["accepted"]], np.bool_)
    opinion = Opinion.model_validate(plain["opinion"])
    return Verdict(opinion, bits, np.array(plain["people"], np.int64), plain["closed"], plain["evaluator"])


def figures(verdicts: Sequence[Verdict]) -> list[Figure]:
    """Mean and agreement of the evaluators, and what share of closed-set successes each other judge confirms.

    The open-set evaluators make the panel; where there are none, the closed-set ones do. One evaluator is no panel.

    Args:
        verdicts: All of the same cell.
    """
    evaluators = [v for v in verdicts if v.evaluator]
    judges = [v for v in evaluators if not v.closed] or evaluators
    found = list(_together(judges)) if len(judges) > 1 else []
    stricter = [v for v in verdicts if not v.closed]
    return found + [_confirmed(v, by) for v in verdicts if v.closed for by in stricter]


def _together(judges: Sequence[Verdict]) -> Iterator[Figure]:
    people, votes = judges[0].people, np.stack([v.accepted for v in judges])  # (J, N)
    yes = np.asarray(votes.mean(0))
    pairs = [votes[i] == votes[j] for i, j in combinations(range(len(judges)), 2)]
    agreed = np.stack(pairs).mean(0)
    yield _share(Quantity(quantity=MEAN_OF_JUDGES), Direction.LEAKS, yes, people)
    yield _share(Quantity(quantity=EVERY_JUDGE), Direction.LEAKS, np.asarray(votes.all(0), np.float64), people)
    yield _share(Quantity(quantity=AGREEMENT), Direction.DESCRIBES, agreed, people)
    yield _kappa(agreed, yes, people)


def _confirmed(loose: Verdict, by: Verdict) -> Figure:
    """Share, of the pictures that a closed-set judge accepts, that a stricter one accepts as the same person."""
    about = Quantity(quantity=CONFIRMED, confirmed=loose.opinion, confirmed_by=by.opinion)
    taken = loose.accepted
    if not taken.any():
        return _figure(about, Direction.DESCRIBES, reason=f"{loose.opinion} accepts no picture in the closed set")
    return _share(about, Direction.DESCRIBES, by.accepted[taken].astype(np.float64), loose.people[taken])


def _kappa(agreed: NDArray[np.float64], yes: NDArray[np.float64], people: People) -> Figure:
    """Fleiss' kappa (Psychological Bulletin 76, 1971) for two answers; 0 is the agreement of chance, 1 is perfect."""
    who, place, counts = np.unique(people, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(place, weights=w) for w in (agreed, yes)]), counts.astype(np.float64)
    value = float(_fleiss(sums[0].sum(1), sums[1].sum()))
    if not np.isfinite(value):
        return _kappa_figure("every judge gives every picture one answer")
    drawn = draws(len(who), RESAMPLES)
    each = _fleiss((drawn @ sums[0].T).T, drawn @ sums[1])
    good, ends = each[np.isfinite(each)], {}
    if len(who) > 1 and len(good) >= ENOUGH * len(each):
        tail = expanded(len(who))
        low, high = (float(end) for end in np.quantile(good, (tail, 1 - tail)))
        ends = {"low": min(low, value), "high": max(high, value)}
    counts_of = {"samples": len(people), "identities": len(who)}
    return _kappa_figure().model_copy(update={"value": value, **counts_of, **ends})


def _kappa_figure(reason: str | None = None) -> Figure:
    return _figure(Quantity(quantity=KAPPA), Direction.DESCRIBES, unit="kappa", low=-1.0, reason=reason)


def _fleiss(sums: NDArray[np.float64], total: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """(P - Pe) / (1 - Pe) from summed agreement and summed share of yes ``(2, ...)``; NaN where chance agrees fully."""
    observed, p = sums / total
    chance = p**2 + (1 - p) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((observed - chance) / (1 - chance))


def _share(about: Quantity, direction: Direction, values: NDArray[np.float64], people: People) -> Figure:
    low, high = interval(values, people, bounds=(0.0, 1.0))
    who, place, counts = np.unique(people, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=values) / counts
    return _figure(about, direction).model_copy(
        update={
            "value": float(values.mean()),
            "low": low,
            "high": high,
            "samples": len(values),
            "identities": len(who),
            "per_identity": {str(p): float(mean) for p, mean in zip(who, means, strict=True)},
            "each": each(counts.tolist()),
        }
    )


def _figure(
    about: Quantity, direction: Direction, *, unit: str = "share", low: float = 0.0, reason: str | None = None
) -> Figure:
    return Figure(**dict(about), metric=PANEL, unit=unit, direction=direction, range=(low, 1.0), reason=reason)
