"""The JSON of a report. Its fields may grow within a version; none changes its meaning or goes without a new one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION: Literal[1] = 1


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Plain):
    """A share with its 95 % interval over people; both ends None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


class FindingPart(_Plain):
    """The finding: its first sentence, those that belong to it, and the numbers in them."""

    state: str = Field(description="recovers, faint, few, unknown, luck or nothing")
    sentence: str
    beside: tuple[str, ...]
    attacker: str | None = Field(default=None, description="access of the attacker it speaks of")
    attack: str | None = None
    recovered: int | None = None
    people: int | None = None
    share: Interval | None = Field(default=None, description="of the people, recovered")
    recognisers_needed: int | None = None
    recognisers: int | None = None
    recovered_by_luck: int | None = None


class AttackPart(_Plain):
    """One attack on the given model."""

    attack: str
    stands_for: str
    recovered: int
    people: int
    accepted: Interval = Field(description="of all its pictures, averaged over the recognisers")
    recovered_by_luck: int | None
    p: float | None = Field(description="against luck, corrected for all attacks")
    surely_more_than_luck: bool


class AttackerPart(_Plain):
    """One kind of attacker."""

    access: str
    state: str = Field(description="recovers, faint, few, unknown, luck, unscored, untried, excluded or void")
    sentence: str
    attacks: tuple[AttackPart, ...]


class PersonPart(_Plain):
    """One person; the interval holds for all people together."""

    person: str
    class_label: str
    recovered: bool
    recognisers: int
    accepted: Interval
    rank: tuple[int, int] = Field(description="best and worst that the intervals leave open")


class RecogniserPart(_Plain):
    """One judge."""

    name: str
    model: str
    fit: bool
    faults: tuple[str, ...]
    accepts_held_out_private: Interval | None
    takes_strangers: Interval | None


class CountPart(_Plain):
    """People recovered by another rule: of whose pictures each of so many recognisers accepts so much."""

    recognisers_needed: int
    recovered: dict[str, int]
    recovered_by_luck: dict[str, int]


class CertaintyPart(_Plain):
    """What the finding rests on."""

    recognisers: tuple[RecogniserPart, ...]
    seeds: tuple[int, ...]
    people: int
    pictures_each: float
    detectable: float | None = Field(description="share of pictures beyond luck that would be found 8 times in 10")
    counts: tuple[CountPart, ...]


class ControlPart(_Plain):
    """One control."""

    control: str
    role: str
    recovered: int | None
    people: int | None
    accepted: Interval | None
    fault: bool
    text: str


class GainPart(_Plain):
    """One defense against one kind of attacker."""

    defense: str
    attacker: str
    side: Literal["less", "more", "tie", "useless", "unscored", "reference"]
    accepted: Interval | None
    accepted_undefended: Interval | None
    difference: Interval | None
    recovered: int | None
    recovered_undefended: int | None
    utility: Interval | None
    utility_lost: Interval | None


class UntriedPart(_Plain):
    """What was left out, or failed."""

    name: str
    why: str
    failed: bool


class AdvicePart(_Plain):
    """What to do, the rule it follows by, and what it follows from."""

    rule: str
    text: str
    because: str


class Summary(_Plain):
    """A whole report."""

    schema_name: Literal["unveil.audit"] = "unveil.audit"
    schema_version: Literal[1] = VERSION
    title: str
    audit: dict[str, Any] = Field(description="what was found out before any attack: the facts")
    finding: FindingPart
    attackers: tuple[AttackerPart, ...]
    people: tuple[PersonPart, ...]
    certainty: CertaintyPart
    controls: tuple[ControlPart, ...]
    defenses: tuple[GainPart, ...]
    not_tried: tuple[UntriedPart, ...]
    advice: tuple[AdvicePart, ...]
