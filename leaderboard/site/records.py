"""The site as data: what its index shows is what its JSON and CSV say, number by number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import Cell
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.site.ranking import RankSet, Shown

FORMAT = 1
WHY = {"failed": "failed", "blocked": "blocked", "unscored": "not scored", "absent": "not run"}


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Number(_Plain):
    """A value with its 95 % interval.

    Attributes:
        value: In the unit of its figure; a share is between 0 and 1.
        low: Lower end; null if there is no interval.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


class RankedRow(_Plain):
    """A defense under one attack, or on average.

    Attributes:
        defense: Its name in the plan.
        family: What it is one strength of; its own name without a sweep.
        attack: The attack; null: the mean over all that were scored on every defense.
        leakage: The headline figure: the mean over the judges that are fit; null if there is none.
        why: Why there is none; else empty.
        first_judge: What the first judge alone says, where another figure leads.
        utility: What the defended target is still good for.
        ranks: Best and worst possible rank, 1 leaks least; a range is a tie. Null: not ranked.
        against_none: Whether it leaks less or more than no defense, or cannot be told apart; of means
            only, and null where the ranking cannot be trusted or the defense is useless.
        people: How many were attacked.
        pictures: How many were judged, over all seeds.
        matrices: Addresses of the matrices that it is from.
        states: What a check of each came to.
    """

    defense: str
    family: str
    attack: str | None
    leakage: Number | None = None
    why: str = ""
    first_judge: Number | None = None
    utility: Number | None = None
    ranks: tuple[int, int] | None = None
    against_none: Literal["less", "more", "tie"] | None = None
    people: int = 0
    pictures: int = 0
    matrices: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


class RankSetRecord(_Plain):
    """Numbers that may be ranked with each other, and no others.

    Attributes:
        slug: Its address on the index, behind ``#``.
        title: For a reader.
        data: Data set.
        model: Target model.
        access: How much of the target the attacks see: the threat model.
        protocol: Of the measurements; 0: older than that number.
        refuted: Whether a check found other numbers; then nothing is ranked.
        figure: What leads.
        unit: Of leakage.
        direction: What a higher value means.
        judges: Whose mean it is; empty where one judge leads.
        first_judge: The first judge of the plan, where another figure leads.
        utility: What usefulness is measured by.
        utility_unit: Its unit.
        lead: What it comes to, in a sentence or two.
        attacks: Attacks, without the controls.
        rows: Means first, then attack by attack.
    """

    slug: str
    title: str
    data: str
    model: str
    access: str | None
    protocol: int
    refuted: bool
    figure: str
    unit: str
    direction: str
    judges: tuple[str, ...]
    first_judge: str | None
    utility: str | None
    utility_unit: str
    lead: str
    attacks: tuple[str, ...]
    rows: tuple[RankedRow, ...]


class MatrixRecord(_Plain):
    """A matrix of the site.

    Attributes:
        slug: Its address: ``matrices/SLUG/``.
        name: Of its plan or report.
        title: Of its plan.
        protocol: Of its measurements.
        state: What a check came to.
        submitter: Who handed it in, by their own word.
        cells: How many cells ended in which way.
        scale: Below 1, it is a rehearsal: people, epochs and steps were cut to that share.
    """

    slug: str
    name: str
    title: str
    protocol: int
    state: str
    submitter: str
    cells: dict[str, int]
    scale: float = 1.0


class SiteRecord(_Plain):
    """All that the index shows.

    Attributes:
        format: Of this file.
        title: Of the site.
        unveil: Version that made it.
        rank_sets: What is ranked with each other.
        matrices: Where it is from; all figures are in ``matrices/SLUG/results.json``.
    """

    format: int = FORMAT
    title: str
    unveil: str = Field(default_factory=lambda: version("unveil"))
    rank_sets: tuple[RankSetRecord, ...]
    matrices: tuple[MatrixRecord, ...]


def rank_set(found: RankSet) -> RankSetRecord:
    """A rank set as data."""
    board, setup = found.board, found.setup
    head, first, utility = board.headline, board.first, setup.utility
    return RankSetRecord(
        slug=found.slug, title=found.title, data=setup.data, model=setup.model, access=setup.access,
        protocol=found.protocol, refuted=found.refuted, figure=head.column.title if head else "",
        unit=head.column.unit if head else "", direction=head.column.direction if head else "",
        judges=head.column.judges if head else (), first_judge=first.column.judge if first else None,
        utility=f"{utility.metric} {utility.column}" if utility else None,
        utility_unit=utility.unit if utility else "",
        lead=found.verdict.lead, attacks=setup.attacks, rows=tuple(_rows(found, head, first)) if head else (),
    )  # fmt: skip


def _rows(found: RankSet, head: Matrix, first: Matrix | None) -> Iterator[RankedRow]:
    family = {defense: name for name, strengths in found.families.items() for defense in strengths}

    def row(defense: str, attack: str | None) -> RankedRow:
        leak, alone = _leakage(head, defense, attack), _leakage(first, defense, attack) if first else None
        useful = cell.estimate if (cell := found.board.utility.get(defense)) else None
        ranks = head.mean_ranks.get(defense) if attack is None else head.ranks.get((defense, attack))
        against = found.compared.get(defense) if attack is None and not found.board.worths[defense].useless else None
        return RankedRow(
            defense=defense, family=family[defense], attack=attack, leakage=number(leak),
            why="" if leak else _why(head, defense, attack), first_judge=number(alone), utility=number(useful),
            ranks=None if found.refuted else ranks,
            against_none=against.side if against else None,
            people=leak.identities if leak else 0, pictures=leak.samples if leak else 0,
            matrices=tuple(one.slug for one in found.sources[defense]),
            states=tuple(one.exhibit.state for one in found.sources[defense]),
        )  # fmt: skip

    for attack in (None, *found.setup.attacks):
        yield from (row(defense, attack) for defense in _ordered(found.setup.defenses, head, attack))


def _ordered(defenses: Sequence[str], head: Matrix, attack: str | None) -> list[str]:
    """Whoever leaks least first; without a number last."""

    def place(defense: str) -> tuple[bool, float]:
        known = _leakage(head, defense, attack)
        sign = 1 if head.column.direction == "higher leaks more" else -1
        return known is None, sign * known.value if known else 0.0

    return sorted(defenses, key=place)


def _leakage(found: Matrix, defense: str, attack: str | None) -> Estimate | None:
    if attack is None:
        return found.means.get(defense)
    cell: Cell | None = found.cells.get((defense, attack))
    return cell.estimate if cell else None


def _why(head: Matrix, defense: str, attack: str | None) -> str:
    if attack is None:
        return "no mean"
    cell = head.cells.get((defense, attack))
    return WHY.get(cell.state if cell else "absent", "")


def number(found: Estimate | None) -> Number | None:
    """An estimate as data."""
    return None if found is None else Number(value=found.value, low=found.low, high=found.high)


def matrix(shown: Shown) -> MatrixRecord:
    """A matrix as data."""
    exhibit = shown.exhibit
    states = [row.status for row in exhibit.results.rows]
    return MatrixRecord(
        slug=shown.slug, name=exhibit.name, title=exhibit.results.title, protocol=exhibit.protocol,
        state=exhibit.state, submitter=exhibit.standing.submitter if exhibit.standing else "",
        cells={state: states.count(state) for state in dict.fromkeys(states)}, scale=exhibit.results.scale,
    )  # fmt: skip


def schema(model: type[BaseModel]) -> bytes:
    """The JSON schema of a file that is written as ``model``."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(mode="serialization")}
    return json.dumps(made, indent=1, sort_keys=True).encode() + b"\n"
