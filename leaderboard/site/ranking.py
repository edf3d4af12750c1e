"""Which numbers may stand in one ranking: the same question, asked of the same people, answered by the same judges.

Rows of several matrices are ranked together only if data (by their checksum, not by name), target model, threat model,
protocol, attacks and judges are the same, and if every cell that two of them have came out the same, an undefended one
among them. A name alone proves nothing: `gmi` may have searched longer in one plan than in another, and then the
undefended target tells it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Picture, Results, Row
from unveil.leaderboard.board import Board, board
from unveil.leaderboard.comparing import Comparison, comparisons
from unveil.leaderboard.figures import BASELINE, Setup, setups
from unveil.leaderboard.site.slugs import slug
from unveil.leaderboard.tradeoff import Tradeoff, tradeoffs
from unveil.leaderboard.verdict import Verdict, doubt, verdict


@dataclass(frozen=True, eq=False)
class Shown:
    """A matrix of the site.

    Attributes:
        slug: Of its pages.
        exhibit: What it is.
    """

    slug: str
    exhibit: Exhibit


@dataclass(frozen=True, eq=False)
class Part:
    """What one matrix has to say about one data set, target model and threat model."""

    shown: Shown
    setup: Setup

    @property
    def results(self) -> Results:
        """All that its matrix holds."""
        return self.shown.exhibit.results

    @cached_property
    def content(self) -> str:
        """What the data are: their checksum, or all that is known of them; data sets of one name need not be one."""
        facts = self.results.datasets.get(self.setup.data, {})
        return facts.get("checksum") or json.dumps(facts, sort_keys=True)

    @cached_property
    def question(self) -> tuple[object, ...]:
        """What must be the same for its numbers to be ranked with others."""
        judges = tuple(judge for judge in self.results.judges if judge.data == self.setup.data)
        real = frozenset(self.setup.attacks)
        return (
            self.setup.data, self.content, self.setup.model, self.setup.access, self.shown.exhibit.protocol, real,
            self.results.scale, tuple(judge.model_dump_json() for judge in judges),
        )  # fmt: skip

    @cached_property
    def rows(self) -> Mapping[tuple[str, str, int], Row]:
        """Its rows, by defense, attack and seed."""
        return {(row.defense, row.attack, row.seed): row for row in self.setup.rows}

    def agrees(self, other: Part) -> bool:
        """Whether every cell that both have is the same, the undefended target under every attack among them."""
        if self.question != other.question or self.shown.exhibit.refuted or other.shown.exhibit.refuted:
            return False
        both = self.rows.keys() & other.rows.keys()
        proven = {attack for defense, attack, _ in both if defense == BASELINE} >= set(self.setup.attacks)
        return proven and all(_same(self.rows[key], other.rows[key]) for key in both)


def _same(one: Row, other: Row) -> bool:
    """Whether two rows are one cell that was computed, or reported, twice: equal figures under equal names."""
    mine, theirs = ({f.name: f for f in row.figures} for row in (one, other))
    common = mine.keys() & theirs.keys()
    led = {f.name for f in (*one.figures, *other.figures) if f.metric == "attack_accuracy"}
    return one.status == other.status and led <= common and all(mine[name] == theirs[name] for name in common)


@dataclass(frozen=True, eq=False)
class RankSet:
    """Numbers that are ranked with each other.

    Attributes:
        slug: Its name in addresses.
        parts: The matrices that it is made of.
        board: Everything that was computed of it.
        sources: By defense, the matrices that have it.
    """

    slug: str
    parts: tuple[Part, ...]
    board: Board
    sources: Mapping[str, tuple[Shown, ...]] = field(default_factory=dict)

    @property
    def setup(self) -> Setup:
        """Its rows."""
        return self.board.setup

    @property
    def protocol(self) -> int:
        """Of its measurements."""
        return self.parts[0].shown.exhibit.protocol

    @property
    def refuted(self) -> bool:
        """Whether a check found other numbers; then there is no rank."""
        return self.parts[0].shown.exhibit.refuted

    @property
    def title(self) -> str:
        """For a reader."""
        scale = self.parts[0].results.scale
        rehearsed = f" · rehearsal at scale {scale:g}" if scale < 1 else ""
        return self.setup.title + (f" · protocol {self.protocol}" if self.protocol else "") + rehearsed

    @property
    def families(self) -> Mapping[str, tuple[str, ...]]:
        """The strengths of each family of defenses, in the order of the rows."""
        found: dict[str, dict[str, None]] = {}
        for row in self.setup.rows:
            found.setdefault(row.family or row.defense, {})[row.defense] = None
        return {name: tuple(strengths) for name, strengths in found.items()}

    @property
    def pictures(self) -> Iterator[Picture]:
        """Grids of its data set and model, each cell once."""
        seen: set[object] = set()
        for picture in (p for part in self.parts for p in part.results.pictures):
            if (picture.data, picture.model) == (self.setup.data, self.setup.model) and picture.cell not in seen:
                seen.add(picture.cell)
                yield picture

    @cached_property
    def verdict(self) -> Verdict:
        """What it comes to, in words."""
        return verdict(self.board)

    @cached_property
    def compared(self) -> Mapping[str, Comparison]:
        """By defense, how it compares with no defense; empty where nothing can be concluded."""
        found = self.board.headline
        if found is None or self.refuted or doubt(self.board, found):
            return {}
        return {c.defense: c for c in comparisons(found)}

    @cached_property
    def tradeoffs(self) -> Sequence[Tradeoff]:
        """Leakage over utility under each attack, by the first judge."""
        return next(iter(tradeoffs(self.setup).values()), ())


def rank_sets(shown: Iterable[Shown]) -> tuple[RankSet, ...]:
    """Puts together what may be ranked together, in the order in which it was given."""
    groups: list[list[Part]] = []
    for part in (Part(one, setup) for one in shown for setup in setups(one.exhibit.results)):
        group = next((g for g in groups if all(part.agrees(other) for other in g)), None)
        if group is None:
            groups.append([part])
        else:
            group.append(part)
    taken: set[str] = set()
    return tuple(_rank_set(group, taken) for group in groups)


def _rank_set(group: Sequence[Part], taken: set[str]) -> RankSet:
    setup = _together(group)
    sources = {
        defense: tuple(part.shown for part in group if defense in part.setup.defenses) for defense in setup.defenses
    }
    return RankSet(_name(group[0], taken), tuple(group), board(setup, group[0].results.judges), sources)


def _together(group: Sequence[Part]) -> Setup:
    """One setup of all parts; a cell that several have is the first one's."""
    first = group[0]
    if len(group) == 1:
        return first.setup
    rows = {key: row for part in reversed(group) for key, row in part.rows.items()}
    order = dict.fromkeys(key for part in group for key in part.rows)
    merged = first.results.model_copy(update={"rows": tuple(rows[key] for key in order)})
    return next(one for one in setups(merged) if one.access == first.setup.access)


def _name(part: Part, taken: set[str]) -> str:
    """The same address whatever else is on the site; the first of several that would share one keeps it."""
    setup, exhibit = part.setup, part.shown.exhibit
    words = [slug(setup.data), slug(setup.model), setup.access or "controls"]
    words += [f"p{exhibit.protocol}"] if exhibit.protocol else []
    plain = "-".join(words)
    name = plain if plain not in taken else f"{plain}-{part.shown.slug}"
    taken.add(name)
    return name


def named(exhibits: Iterable[Exhibit]) -> tuple[Shown, ...]:
    """Gives each matrix its address: its own name, with its submitter's before it.

    The first of a name keeps it, so that no address changes when one is added. A matrix that is given twice is
    shown once.
    """
    found: dict[str, Exhibit] = {}
    for one in exhibits:
        who = one.standing.submitter if one.standing else ""
        plain = "-".join(slug(part) for part in (who, one.name) if part)
        if one in found.values():
            continue
        mark = hashlib.sha256(one.results.plan.encode()).hexdigest()
        names = (plain, f"{plain}-{mark[:8]}", *(f"{plain}-{mark[:8]}-{n}" for n in range(2, len(found) + 3)))
        found[next(name for name in names if name not in found)] = one
    return tuple(Shown(name, one) for name, one in found.items())
