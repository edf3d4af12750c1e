"""What people's answers come to: what they accept of each kind of pair, and how far they agree. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from unveil.harness.figures.intervals import interval, wilson
from unveil.leaderboard.judging.answers import Answer
from unveil.leaderboard.judging.pairs import Kind, Pair

EVERYBODY = "all judges"
Given = Mapping[str, Answer]
"""One judge's answers, by pair."""


@dataclass(frozen=True)
class Share:
    """A share of pairs.

    Attributes:
        value: The share; None of no pairs.
        low: Lower end of its 95 % interval over people.
        high: Upper end.
        pairs: Answers yes or no that went in.
        people: On how many people.
        unsure: Answers that were neither, and did not.
    """

    value: float | None
    low: float | None
    high: float | None
    pairs: int
    people: int
    unsure: int = 0


@dataclass(frozen=True)
class Opinion:
    """What one judge, or all of them, made of the pairs.

    Attributes:
        judge: Who.
        answered: Pairs that were answered; of all judges, answers.
        of: How many there are.
        genuine: Share of genuine pairs that were accepted.
        false_accepts: Share of impostor pairs that were accepted.
        rows: Share of each row's reconstructions that were accepted, by defense and attack.
        doubt: Why nothing can be concluded from them; empty if something can.
    """

    judge: str
    answered: int
    of: int
    genuine: Share
    false_accepts: Share
    rows: Mapping[str, Share]
    doubt: str


@dataclass(frozen=True)
class Agreement:
    """How far two agree, on pairs to which both say yes or no.

    Attributes:
        one: A judge.
        other: Another one, or an evaluator.
        agree: Share of pairs on which they agree.
        kappa: Cohen's (Educational and Psychological Measurement 20, 1960); 0 is chance, None where that agrees fully.
        false_positives: Of an evaluator: what it accepts of what the judge does not.
        false_negatives: Of an evaluator: what it does not accept of what the judge does.
    """

    one: str
    other: str
    agree: Share
    kappa: float | None
    false_positives: Share | None = None
    false_negatives: Share | None = None


@dataclass(frozen=True)
class Summary:
    """All of it.

    Attributes:
        opinions: Of each judge, and of all together if there are several.
        judges: Agreement of each two judges, on all pairs.
        evaluators: Agreement of each judge with each evaluator, on reconstructions.
    """

    opinions: tuple[Opinion, ...]
    judges: tuple[Agreement, ...]
    evaluators: tuple[Agreement, ...]


def summary(pairs: Sequence[Pair], answers: Mapping[str, Given]) -> Summary:
    """What the answers come to.

    Args:
        pairs: All of them; answers to others are left out.
        answers: By judge and pair.
    """
    heard = {judge: given for judge, given in answers.items() if any(pair.name in given for pair in pairs)}
    opinions = [_opinion(judge, pairs, [given]) for judge, given in heard.items()]
    if len(heard) > 1:
        opinions.append(_opinion(EVERYBODY, pairs, list(heard.values())))
    between = [_agreement(a, b, _both(pairs, heard[a], heard[b])) for a, b in combinations(heard, 2)]
    made = [pair for pair in pairs if pair.rows]
    machines = sorted({name for pair in made for name in pair.verdicts})
    against = [_confronted(judge, name, made, given) for judge, given in heard.items() for name in machines]
    return Summary(tuple(opinions), tuple(between), tuple(against))


def _opinion(judge: str, pairs: Sequence[Pair], givens: Sequence[Given]) -> Opinion:
    rows = sorted({row for pair in pairs for row in pair.rows})
    genuine = _accepted([pair for pair in pairs if pair.kind is Kind.GENUINE], givens)
    false = _accepted([pair for pair in pairs if pair.kind is Kind.IMPOSTOR], givens)
    return Opinion(
        judge,
        answered=sum(pair.name in given for pair in pairs for given in givens),
        of=len(pairs) * len(givens),
        genuine=genuine,
        false_accepts=false,
        rows={row: _accepted([pair for pair in pairs if row in pair.rows], givens) for row in rows},
        doubt=_doubt(genuine, false),
    )


def _accepted(pairs: Sequence[Pair], givens: Sequence[Given]) -> Share:
    said = [(given[pair.name], pair.person) for pair in pairs for given in givens if pair.name in given]
    clear = [(answer == "yes", person) for answer, person in said if answer != "unsure"]
    return share([yes for yes, _ in clear], [person for _, person in clear], len(said) - len(clear))


def share(values: Sequence[bool], people: Sequence[str], unsure: int = 0) -> Share:
    """The share that is true, with its interval over people.

    Example:
        >>> made = share([False] * 40, [str(i) for i in range(40)])
        >>> made.value, round(made.high, 3)
        (0.0, 0.088)
    """
    if not values:
        return Share(None, None, None, 0, 0, unsure)
    who = np.unique(people, return_inverse=True)[1]
    low, high = interval(np.array(values, np.float64), who, bounds=(0.0, 1.0))
    return Share(float(np.mean(values)), low, high, len(values), len(set(people)), unsure)


def _doubt(genuine: Share, false: Share) -> str:
    """Why a judge is none: nobody who accepts strangers as often as the right person sees anything."""
    if genuine.value is None or false.value is None:
        return "too little was answered to say whether genuine pairs are told from others"
    if wilson(genuine.value, genuine.pairs)[0] <= false.value:
        return (
            f"accepts {100 * genuine.value:.3g} % of genuine pairs and {100 * false.value:.3g} % of impostor pairs: "
            "cannot tell them apart"
        )
    return ""


Judged = list[tuple[bool, bool, str]]
"""What two say of each pair, and whom it is about."""


def _both(pairs: Sequence[Pair], one: Given, other: Given) -> Judged:
    clear = [p for p in pairs if one.get(p.name, "unsure") != "unsure" and other.get(p.name, "unsure") != "unsure"]
    return [(one[p.name] == "yes", other[p.name] == "yes", p.person) for p in clear]


def _agreement(one: str, other: str, both: Judged) -> Agreement:
    agree = share([a == b for a, b, _ in both], [person for *_, person in both])
    return Agreement(one, other, agree, cohen([a for a, _, _ in both], [b for _, b, _ in both]))


def _confronted(judge: str, evaluator: str, made: Sequence[Pair], given: Given) -> Agreement:
    clear = [p for p in made if evaluator in p.verdicts and given.get(p.name, "unsure") != "unsure"]
    both = [(given[p.name] == "yes", p.verdicts[evaluator], p.person) for p in clear]
    found = _agreement(judge, evaluator, both)
    wrongly = share([b for a, b, _ in both if not a], [person for a, _, person in both if not a])
    missed = share([not b for a, b, _ in both if a], [person for a, _, person in both if a])
    return Agreement(judge, evaluator, found.agree, found.kappa, wrongly, missed)


def cohen(one: Sequence[bool], other: Sequence[bool]) -> float | None:
    """Cohen's kappa of two judges with two answers; None where chance alone agrees fully, or of no pairs.

    Example:
        >>> cohen([True, True, False, False], [True, False, False, False])
        0.5
    """
    if not one:
        return None
    a, b = np.mean(one), np.mean(other)
    chance = a * b + (1 - a) * (1 - b)
    observed = np.mean(np.array(one) == np.array(other))
    return None if chance == 1 else float((observed - chance) / (1 - chance))
