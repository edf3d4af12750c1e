"""How sure a report is: who judged and how far each can be trusted, on how much it rests, and how the rules matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unveil.harness.figures.rows import Figure, Judge
from unveil.leaderboard.estimates import scored
from unveil.leaderboard.judges import is_ceiling, is_floor, judge_warnings
from unveil.leaderboard.paired import detectable
from unveil.leaderboard.report.attackers import Given, Trial
from unveil.leaderboard.report.recovery import RULES, Recovery


@dataclass(frozen=True)
class Recogniser:
    """One judge.

    Attributes:
        judge: Itself.
        fit: Whether it counts.
        faults: Why not, or what else speaks against it.
        knows_people: How often it recognises held-out pictures of the people; None if that was not measured.
        takes_strangers: How often it takes a stranger for one of them.
    """

    judge: Judge
    fit: bool
    faults: tuple[str, ...]
    knows_people: Figure | None
    takes_strangers: Figure | None


@dataclass(frozen=True)
class Count:
    """People recovered if another rule had been chosen.

    Attributes:
        needed: So many recognisers must agree.
        attack: People, by how many of their pictures each must accept.
        luck: The same for the luckiest control; empty if none was scored.
    """

    needed: int
    attack: Mapping[str, int]
    luck: Mapping[str, int]


@dataclass(frozen=True)
class Certainty:
    """What the finding rests on.

    Attributes:
        recognisers: All judges of the data set.
        seeds: Of the rows.
        people: Attacked by the attack that the finding tells of; 0 if it tells of none.
        pictures: It made of each.
        counts: What other rules would count.
        detectable: Smallest share of pictures beyond luck that would have been found 8 times in 10.
    """

    recognisers: tuple[Recogniser, ...]
    seeds: tuple[int, ...]
    people: int = 0
    pictures: float = 0.0
    counts: tuple[Count, ...] = ()
    detectable: float | None = None

    @property
    def fit(self) -> tuple[str, ...]:
        """Names of the recognisers that count."""
        return tuple(r.judge.name for r in self.recognisers if r.fit)


def certainty(model: Given, trial: Trial | None) -> Certainty:
    """What a finding about one attack, or none, rests on."""
    board = model.board
    seeds = tuple(sorted({row.seed for row in model.rows}))
    if board is None:
        return Certainty((), seeds)
    said = {
        j.name: [*(w.split("\n")[0] for w in judge_warnings(j)), *(f.text for f in board.faults if f.judge == j.name)]
        for j in board.judges
    }
    mine = [j for j in board.judges if j.data == model.data]
    judges = tuple(_recogniser(j, j.name in board.fit, tuple(said[j.name])) for j in mine)
    if trial is None:
        return Certainty(judges, seeds)
    found, smallest = trial.found, detectable(trial.gap) if trial.gap else None
    counts = tuple(_count(needed, found, trial.luck) for needed in range(1, len(found.judges) + 1))
    return Certainty(judges, seeds, found.people, found.pictures, counts, smallest)


def _recogniser(judge: Judge, fit: bool, faults: tuple[str, ...]) -> Recogniser:
    known = [f for f in judge.figures if scored(f)]
    own = next((f for f in known if is_ceiling(f)), None)
    others = next((f for f in known if is_floor(f)), None)
    return Recogniser(judge, fit, faults, own, others)


def _count(needed: int, found: Recovery, luck: Recovery | None) -> Count:
    told = {name: found.count(needed, rule) for name, rule in RULES.items()}
    by_luck = {name: luck.count(needed, rule) for name, rule in RULES.items()} if luck else {}
    return Count(needed, told, by_luck)
