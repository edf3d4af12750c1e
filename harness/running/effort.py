"""How hard an audit tries: settings of attacks for so many pictures a person, and how many of these a budget buys.

The unit of work is a picture that the target answers; a gradient costs two more.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Access

FEWEST_PEOPLE = 4
SAMPLES = 3  # reconstructions of each person
POOL_SHARE = 0.1  # of an attack's work goes to pictures that are scored for all people at once
GRADIENT = 2.0
MARGIN = 0.95  # of the budget is planned for: what is planned may take a little longer
LATEST = 1.05  # budgets after which an attack is ended at its next checkpoint, so that they are kept within a tenth


@dataclass(frozen=True)
class Attempt:
    """One attack at one effort.

    Attributes:
        settings: Of the plugin, without its prior.
        work: Pictures, for all people together.
    """

    settings: Mapping[str, Any]
    work: float


class Effort(Protocol):
    """Settings of an attack that show the target about ``each`` pictures a person."""

    def __call__(self, people: int, each: float) -> Attempt:
        """Of so many people."""
        ...


@dataclass(frozen=True)
class Tried:
    """An attack that an audit may run.

    Attributes:
        use: Its plugin.
        access: What it sees.
        says: What it stands for, in one plain sentence.
        effort: Its settings by effort.
        least: Pictures a person below which it is not worth running.
        most: Pictures a person beyond which more is of no use.
    """

    use: str
    access: Access
    says: str
    effort: Effort
    least: float
    most: float


def ppa(people: int, each: float) -> Attempt:
    """Candidates, then steps; a tenth of all goes to the pool.

    >>> ppa(10, 1280).settings
    {'candidates': 6, 'keep': 3, 'steps': 64, 'views': 20, 'pool': 640, 'lr': 0.05}
    """
    candidates = 3 if each < 500 else 4 if each < 1000 else 6 if each < 2500 else 8
    views = 10 if candidates < 6 else 20
    steps = _within(10, (each / candidates - views) / 3, 250)
    pool = _within(50, POOL_SHARE * people * each / 2, 2000)
    chosen = {"candidates": candidates, "keep": SAMPLES, "steps": steps, "views": views, "pool": pool, "lr": 0.05}
    return Attempt(chosen, 2 * pool + people * candidates * (3 * steps + views))


def mirror(people: int, each: float) -> Attempt:
    """Larger populations, then more generations."""
    population = 12 if each < 600 else 20 if each < 1500 else 40
    children = population - max(1, round(0.1 * population))
    generations = _within(3, each / (SAMPLES * children), 60)
    presamples = _within(SAMPLES * population, POOL_SHARE * people * each, 5000)
    chosen = {"samples": SAMPLES, "population": population, "generations": generations, "presamples": presamples}
    return Attempt(chosen, presamples + people * SAMPLES * children * generations)


def brep_mi(people: int, each: float) -> Attempt:
    """As many queries of each person, a quarter of them to find somebody like them."""
    queries = _within(100, each, 20_000)
    return Attempt({"queries": queries, "first_queries": max(64, queries // 4)}, people * queries)


def _within(least: int, value: float, most: int) -> int:
    return int(min(max(least, value), most))


ATTACKS = (
    Tried(
        "ppa",
        Access.WHITE_BOX,
        "somebody who holds the model's file searches for pictures that it is most sure of",
        ppa,
        200,
        6000,
    ),
    Tried(
        "mirror",
        Access.SCORES,
        "somebody who can ask the model and is told how sure it is breeds pictures that it is surer of",
        mirror,
        100,
        5000,
    ),
    Tried(
        "brep_mi",
        Access.LABELS,
        "somebody who can ask the model and is told a name only looks for pictures that keep that name",
        brep_mi,
        100,
        5000,
    ),
)
"""Those that an audit tries, the strongest attacker first."""


def open_to(access: Access) -> tuple[Tried, ...]:
    """The attacks that so much access allows: whoever sees more can do what others can."""
    order = list(Access)
    return tuple(one for one in ATTACKS if order.index(one.access) >= order.index(access))


@dataclass(frozen=True)
class Sizing:
    """What a budget buys.

    Attributes:
        people: How many are attacked.
        each: Pictures a person, by attack.
        seconds: That it is likely to take, by attack.
    """

    people: int
    each: Mapping[str, float]
    seconds: Mapping[str, float]


def sized(tried: tuple[Tried, ...], rates: Mapping[str, float], people: int, seconds: float, targets: int) -> Sizing:
    """How many people, and how many pictures of each, an attack may show in a time. The first attack gets most of it.

    Everybody is attacked if each attack can then show half as many pictures as it would like, or its fewest at worst;
    else as many people as can be with its fewest.

    Args:
        tried: The attacks.
        rates: Seconds a picture, by attack.
        people: How many there are.
        seconds: For all of them; endless without a budget.
        targets: On how many targets each is run.
    """
    shares = dict(zip((one.use for one in tried), _shares(len(tried)), strict=True))
    time = {one.use: max(shares[one.use] * seconds / targets, 0.0) for one in tried}
    enough = (time[one.use] / rates[one.use] / (1 + POOL_SHARE) / one.least for one in tried)
    count = min(people, max(FEWEST_PEOPLE, int(min(*enough, people))))
    each = {one.use: pictures(one, rates[one.use], count, time[one.use]) for one in tried}
    costs = {one.use: targets * rates[one.use] * one.effort(count, each[one.use]).work for one in tried}
    return Sizing(count, each, costs)


def pictures(one: Tried, rate: float, people: int, seconds: float) -> float:
    """Pictures a person that an attack may show in a time; no fewer than its fewest.

    >>> pictures(ATTACKS[0], rate=0.01, people=10, seconds=110.0)
    1000.0
    """
    return min(one.most, max(one.least, round(seconds / rate / (1 + POOL_SHARE) / people, 6)))


def _shares(count: int) -> tuple[float, ...]:
    return (1.0,) if count == 1 else (0.7, *(0.3 / (count - 1),) * (count - 1))


def rate(seconds: float, budget: Mapping[str, int]) -> float:
    """Seconds a picture that an attack took, by what its record says it asked."""
    work = budget.get("attack queries", 0) + GRADIENT * budget.get("attack gradients", 0)
    return seconds / max(work, 1.0)


@dataclass
class Clock:
    """Time that an audit has taken, with what it took before it was interrupted.

    Attributes:
        budget: Seconds; endless without one.
        before: Seconds of earlier runs of the same audit.
    """

    budget: float
    before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self.before + time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds that may still be planned."""
        return MARGIN * self.budget - self.spent

    @property
    def remains(self) -> float | None:
        """Seconds until attacks are ended; None without a budget."""
        return None if math.isinf(self.budget) else LATEST * self.budget - self.spent


UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str) -> float:
    """Seconds in a text such as 90s, 30m, 1.5h or 1h30m.

    Raises:
        PlanError: If it is none.

    Example:
        >>> duration("1h30m")
        5400.0
    """
    plain = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", plain)
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != plain or not total:
        raise PlanError(f"{text!r} is no time", "a number and a unit, such as 90s, 30m or 2h", "correct it")
    return total
