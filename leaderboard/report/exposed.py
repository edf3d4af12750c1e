"""Which people are most exposed: ranked by how many of their pictures are accepted, as far as these tell people apart.

Each person's pictures are that person's sample: what would come out if the attacks began again elsewhere. Intervals are
Wilson's, the mean over the recognisers being no more than one trial a picture, and hold for all people together
(Bonferroni); so a rank leaves open what a few pictures leave open. Attacks that do no better than luck rank nobody.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from unveil.harness.figures.intervals import wilson
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.report.attackers import Attacker, Trial

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Exposed:
    """One person.

    Attributes:
        label: The class, as rows have it.
        recovered: Whether the strongest attack recovers this person.
        judges: Recognisers that take most of the strongest attack's pictures for this person.
        share: Of the pictures of all attacks that beat luck, how many are accepted, averaged over the recognisers; its
            interval holds for all people together.
        best: Best rank that this leaves open; 1 is most exposed.
        worst: Worst.
    """

    label: str
    recovered: bool
    judges: int
    share: Estimate
    best: int
    worst: int


@dataclass(frozen=True)
class Ranking:
    """All people, the most exposed first.

    Attributes:
        people: They.
        attacks: Whose pictures count.
        pictures: Of each person.
        judges: How many recognisers judged.
    """

    people: tuple[Exposed, ...] = ()
    attacks: tuple[str, ...] = ()
    pictures: float = 0.0
    judges: int = 0

    @property
    def settled(self) -> tuple[Exposed, ...]:
        """Those who are surely among the more exposed half."""
        return tuple(p for p in self.people if p.worst <= len(self.people) // 2)

    @property
    def open(self) -> bool:
        """Whether nobody can be told to be more exposed than anybody else."""
        return all((p.best, p.worst) == (1, len(self.people)) for p in self.people)


def ranking(attacker: Attacker | None) -> Ranking:
    """Of the people whom one kind of attacker attacked; nobody where no attack surely beats luck."""
    trials = [t for t in attacker.trials if t.surely] if attacker else []
    if not trials:
        return Ranking()
    pictures = sum(t.found.pictures for t in trials)
    strongest, everywhere = trials[0].found, set.intersection(*(set(t.found.accepted) for t in trials))
    shares = {label: _share(label, trials) for label in strongest.accepted if label in everywhere}
    joint = 1 - (1 - CONFIDENCE) / max(len(shares), 1)
    found = {label: Estimate(share, *wilson(share, pictures, joint)) for label, share in shares.items()}
    lows, highs = (sorted(e.ends[i] for e in found.values()) for i in (0, 1))
    people = [
        Exposed(label, label in strongest.recovered, strongest.judged(label), share, *_ranks(share, lows, highs))
        for label, share in found.items()
    ]
    attacks = tuple(t.found.attack for t in trials)
    return Ranking(tuple(sorted(people, key=_order)), attacks, pictures, len(strongest.judges))


def _ranks(mine: Estimate, lows: Sequence[float], highs: Sequence[float]) -> tuple[int, int]:
    """Best and worst: behind all whose interval lies wholly above, before all whose lies wholly below.

    Args:
        mine: With its interval.
        lows: Lower ends of all people's, sorted.
        highs: Upper ends, sorted.
    """
    low, high = mine.ends
    return 1 + len(lows) - bisect_right(lows, high), len(highs) - bisect_left(highs, low)


def _order(person: Exposed) -> tuple[float, int, int, str]:
    return -person.share.value, -person.judges, len(person.label), person.label


def _share(label: str, trials: Sequence[Trial]) -> float:
    """Of all pictures of one person; every picture weighs the same."""
    accepted = [fmean(t.found.accepted[label].values()) * t.found.pictures for t in trials]
    return min(1.0, sum(accepted) / sum(t.found.pictures for t in trials))
