"""Rows to cells: which figures there are, what stands in each cell, and why one holds no number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, NamedTuple, TypeVar

from unveil.harness.figures.rows import Figure, Judge, Results, Row
from unveil.harness.words.names import Access, Direction, Role
from unveil.leaderboard.columns import TOP, Column
from unveil.leaderboard.estimates import Estimate, estimate, pool, scored
from unveil.leaderboard.wording import threat

Key = TypeVar("Key")

BASELINE = "none"  # the empty defense, which others are compared with
CONTROLS = {Role.FLOOR: "Luck", Role.GULLIBILITY: "Gullibility", Role.CEILING: "Ceiling"}  # on the page, in order


State = Literal["scored", "failed", "blocked", "unscored", "absent"]


@dataclass(frozen=True)
class Cell:
    """What stands where a defense meets an attack.

    Attributes:
        state: ``scored``, ``failed``, ``blocked``, ``unscored`` (with reason) or ``absent`` (not asked for).
        estimate: The number, if scored.
        reasons: Errors and reasons, of every seed that has no number.
        seeds: Seeds that were asked for.
    """

    state: State
    estimate: Estimate | None = None
    reasons: tuple[str, ...] = ()
    seeds: int = 0

    @property
    def missing(self) -> int:
        """Seeds that gave no number although others did."""
        return self.seeds - self.estimate.seeds if self.estimate else 0


@dataclass(frozen=True)
class Measured:
    """A row with its figures by name.

    Attributes:
        row: The row.
        figures: Its figures, by ``Figure.name``.
    """

    row: Row
    figures: Mapping[str, Figure]

    @classmethod
    def of(cls, row: Row) -> Measured:
        """From a row."""
        return cls(row, {figure.name: figure for figure in row.figures})


@dataclass(frozen=True)
class Setup:
    """One data set, target model and threat model: what may be compared with each other.

    Attributes:
        data: Data set.
        model: Target model.
        rows: Its rows, the controls' among them, whatever these see of the target.
        columns: Every figure that occurs, the headline first, then the attacks', then the target's.
        access: How much of the target all its attacks see; None if that is not known, or there is no attack.
    """

    data: str
    model: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    access: Access | None = None

    @cached_property
    def measured(self) -> Mapping[tuple[str, str], tuple[Measured, ...]]:
        """The rows with their figures by name, by (defense, attack)."""
        found: dict[tuple[str, str], list[Measured]] = {}
        for row in self.rows:
            found.setdefault((row.defense, row.attack), []).append(Measured.of(row))
        return {key: tuple(mine) for key, mine in found.items()}

    @cached_property
    def _cells(self) -> dict[tuple[Column, str, str], Cell]:
        return {}

    def cell(self, column: Column, defense: str, attack: str) -> Cell:
        """One figure of one cell, averaged over its seeds once, whoever asks."""
        key = column, defense, attack
        if key not in self._cells:
            self._cells[key] = cell(self.measured.get((defense, attack), ()), column)
        return self._cells[key]

    @property
    def title(self) -> str:
        """For a reader."""
        return f"{self.data} · {self.model}" + (f" · {threat(self.access)} attacks" if self.access else "")

    @property
    def defenses(self) -> tuple[str, ...]:
        """In the order of the rows."""
        return _unique(row.defense for row in self.rows)

    @property
    def attacks(self) -> tuple[str, ...]:
        """In the order of the rows, without the controls."""
        return _unique(row.attack for row in self.rows if not row.role)

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls that were run, by role."""
        return _unique(attack for wanted in CONTROLS for attack, found in self.roles.items() if found == wanted)

    @property
    def roles(self) -> dict[str, Role]:
        """What each control is for, by its name."""
        return {row.attack: row.role for row in self.rows if row.role}

    def named(self, role: Role) -> tuple[str, ...]:
        """The controls of one role."""
        return tuple(a for a in self.controls if self.roles[a] == role)

    @property
    def headline(self) -> Column | None:
        """The figure that leads: attack accuracy by the first judge, else the first about an attack."""
        return next(iter(self.leaking), None)

    @property
    def leaking(self) -> tuple[Column, ...]:
        """Figures about attacks, one matrix each."""
        return tuple(c for c in self.columns if c.direction not in (Direction.USEFUL, Direction.DESCRIBES))

    @property
    def useful(self) -> tuple[Column, ...]:
        """Figures about the targets, the same under every attack."""
        return tuple(c for c in self.columns if c.direction == Direction.USEFUL)

    @property
    def utility(self) -> Column | None:
        """The first figure about usefulness."""
        return next(iter(self.useful), None)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds."""
        return tuple(sorted({row.seed for row in self.rows}))


def setups(results: Results) -> tuple[Setup, ...]:
    """Splits the rows into what may be compared: same data set, same target model, attacks that see equally much.

    Controls stand beside every threat model.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in results.rows:
        groups.setdefault((row.data, row.model), []).append(row)
    return tuple(
        _setup(*names, access, [r for r in rows if r.role or r.access == access], results.judges)
        for names, rows in groups.items()
        for access in _threats(rows)
    )


def _threats(rows: Iterable[Row]) -> list[Access | None]:
    """How much attacks see, most first; None alone where there are only controls."""
    found = {row.access for row in rows if not row.role}
    known: list[Access | None] = [access for access in Access if access in found]
    return known + [None] * (None in found or not found)


def cell(mine: Sequence[Measured], column: Column) -> Cell:
    """Averages one figure over the seeds of one cell, or says why there is nothing to average.

    A failed row gives no number, whatever it had measured before it failed.

    Args:
        mine: The cell's rows.
        column: The figure.
    """
    found = [(m.row.seed, m.figures[column.name]) for m in mine if m.row.status == "done" and column.name in m.figures]
    figures, parts = [f for _, f in found], [estimate(f, seed) for seed, f in found if scored(f)]
    broken = [m.row for m in mine if m.row.status != "done"]
    reasons = [f"seed {r.seed}: {r.error or 'no error was recorded'}" for r in broken]
    reasons += [f.reason or "the value is not a number" for f in figures if not scored(f)]
    pooled = pool(parts, column.limits, seeds=len(parts)) if parts else None
    return Cell(_state(pooled, broken, figures), pooled, _unique(reasons), len(mine))


def utility(setup: Setup, column: Column) -> dict[str, Cell]:
    """Usefulness of each defended target, averaged over seeds; it needs no attack, so a failed one does not hide it."""
    mine: dict[str, list[Measured]] = {d: [] for d in setup.defenses}
    for (defense, _), found in setup.measured.items():
        mine[defense] += found
    return {d: _utility_cell(found, column) for d, found in mine.items()}


def broken(setup: Setup) -> dict[tuple[str, str], list[Row]]:
    """Failed and blocked rows by status and error, so that one cause is told once."""
    causes: dict[tuple[str, str], list[Row]] = {}
    for row in setup.rows:
        if row.status != "done":
            causes.setdefault((row.status, row.error or "no error was recorded"), []).append(row)
    return causes


def _setup(data: str, model: str, access: Access | None, rows: Sequence[Row], judges: Sequence[Judge]) -> Setup:
    found = {f.name: Column.of(f) for row in rows for f in row.figures}
    order = {judge.name: i for i, judge in enumerate(judges)}

    def place(column: Column) -> tuple[bool, bool, int]:
        useful = column.direction == Direction.USEFUL
        return useful, not (column.leads or (useful and column.about == TOP)), order.get(column.judge or "", len(order))

    return Setup(data, model, tuple(rows), tuple(sorted(found.values(), key=place)), access)


def _utility_cell(mine: Sequence[Measured], column: Column) -> Cell:
    # Every attack's row repeats its target's figures: one row a seed is enough, the first that has the figure.
    by_seed: dict[int, Figure] = {}
    for seed, figure in ((m.row.seed, m.figures.get(column.name)) for m in mine):
        if figure is not None and (seed not in by_seed or not scored(by_seed[seed])):
            by_seed[seed] = figure
    figures = list(by_seed.values())
    parts = [estimate(f, seed) for seed, f in by_seed.items() if scored(f)]
    broken = [] if figures else [m.row for m in mine if m.row.status != "done"]
    reasons = [r.error or "no error was recorded" for r in broken]
    reasons += [f.reason or "the value is not a number" for f in figures if not scored(f)]
    found = pool(parts, column.limits, seeds=len(parts)) if parts else None
    return Cell(_state(found, broken, figures), found, _unique(reasons), len({m.row.seed for m in mine}))


def _state(found: Estimate | None, broken: Sequence[Row], figures: Sequence[Figure]) -> State:
    if found:
        return "scored"
    if broken:
        return "failed" if any(r.status == "failed" for r in broken) else "blocked"
    return "unscored" if figures else "absent"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class Line(NamedTuple, Generic[Key]):
    """One attack on one defense.

    Attributes:
        defense: The defense.
        attack: The attack.
        role: What it is a control for; empty for an attack.
        cells: By what they say.
    """

    defense: str
    attack: str
    role: str
    cells: Mapping[Key, Cell]


def lines(setup: Setup, columns: Mapping[Key, Column]) -> Iterator[Line[Key]]:
    """All of them; controls last, and none that has no cell."""
    roles = {row.attack: row.role for row in setup.rows}
    for attacks in (setup.attacks, setup.controls):
        for defense in setup.defenses:
            for attack in attacks:
                cells = {key: setup.cell(column, defense, attack) for key, column in columns.items()}
                if any(c.state != "absent" for c in cells.values()):
                    yield Line(defense, attack, roles[attack], cells)
