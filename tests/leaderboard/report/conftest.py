"""Audits made by hand: how many of five pictures of each person each recogniser accepts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from PIL import Image

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.grids import GAP
from unveil.harness.figures.intervals import interval
from unveil.harness.figures.rows import Figure, Judge, Picture, Results, Row
from unveil.harness.words.account import Account, Part
from unveil.harness.words.names import ACCEPTS_PRIVATE, TAKES_STRANGERS, UTILITY, Access, Direction, Role

PICTURES, SIDE = 5, 32
JUDGES = ("ada", "bea", "cyd")
NAMES = ("Zaphod Beeblebrox", "Trillian")  # of the first two people; the others are called Villager 2, 3 ...
ROLES = {"luck": Role.FLOOR, "alike": Role.GULLIBILITY, "real": Role.CEILING}

Counts = Sequence[int]  # accepted pictures of each person, of five


def share(metric: str, column: str, counts: Counts, judge: str | None, direction: Direction) -> Figure:
    values = [float(i < c) for c in counts for i in range(PICTURES)]
    low, high = interval(values, [i for i in range(len(counts)) for _ in range(PICTURES)], bounds=(0, 1))
    each = {str(i): c / PICTURES for i, c in enumerate(counts)}
    return Figure(
        metric=metric, quantity=column, judge=judge, unit="share", direction=direction, range=(0, 1),
        value=float(np.mean(values)), low=low, high=high, per_identity=each,
        samples=len(values), identities=len(counts),
    )  # fmt: skip


def pixels(people: int, made: int = 3) -> np.ndarray:
    """A grid in which no two pixels of one picture are alike, so that any of them could be found again."""
    noise = np.random.default_rng(0).integers(0, 256, (people * SIDE, (3 + made) * SIDE + GAP, 3))
    return noise.astype(np.uint8)


def png(shape: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(shape).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@dataclass(frozen=True)
class Case:
    """An audit as a test wants it; attacks by name, then judge."""

    attacks: Mapping[str, tuple[Access, Mapping[str, Counts] | Counts]]
    controls: Mapping[str, Counts] = field(default_factory=dict)
    defended: Mapping[str, Mapping[str, Counts]] = field(default_factory=dict)  # by defense and attack
    failed: Mapping[str, tuple[Access, str]] = field(default_factory=dict)
    utility: Mapping[str, int] = field(default_factory=dict)  # of five test pictures, by defense
    knows: float = 1.0
    publishable: bool = False
    pictured: bool = True
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def people(self) -> int:
        counts = [c for _, by in self.attacks.values() for c in (by.values() if isinstance(by, Mapping) else [by])]
        return max(map(len, counts), default=2)

    @property
    def names(self) -> list[str]:
        return [*NAMES, *(f"Villager {i}" for i in range(2, self.people))][: self.people]

    def row(self, defense: str, attack: str, access: Access | None, by: Mapping[str, Counts] | Counts) -> Row:
        judged = by if isinstance(by, Mapping) else dict.fromkeys(JUDGES, by)
        figures = [share("attack_accuracy", "top-1", c, j, Direction.LEAKS) for j, c in judged.items()]
        if defense in self.utility:
            figures.append(share(UTILITY, "top-1", [self.utility[defense]] * self.people, None, Direction.USEFUL))
        return Row(
            data="staff", model="door", defense=defense, attack=attack, seed=0, role=ROLES.get(attack, ""),
            access=access, status="done", figures=tuple(figures), budget={"attack queries": 100 * self.people},
        )  # fmt: skip

    def results(self) -> Results:
        rows = [self.row("none", attack, access, by) for attack, (access, by) in self.attacks.items()]
        sees = {name: None if name == "real" else Access.LABELS for name in self.controls}
        rows += [self.row("none", name, sees[name], by) for name, by in self.controls.items()]
        for defense, attacks in self.defended.items():
            rows += [self.row(defense, a, self.attacks[a][0], by) for a, by in attacks.items()]
        rows += [
            Row(
                data="staff", model="door", defense="none", attack=a, seed=0,
                access=access, status="failed", error=error,
            )
            for a, (access, error) in self.failed.items()
        ]  # fmt: skip
        part = Part(people=self.people, pictures=9 * self.people, fewest=9, most=9)
        account = Account(
            parts=dict.fromkeys(("train", "validation", "test", "public"), part),
            people=dict.fromkeys(self.names, (5, 2, 2)), publishable=self.publishable,
        )  # fmt: skip
        return Results(
            title="audit", plan="", rows=tuple(rows), judges=self.judges(), pictures=self.pictures(),
            accounts={"staff": account}, provenance={"k": {"when": "2026-01-31T12:00:00Z"}},
        )  # fmt: skip

    def judges(self) -> tuple[Judge, ...]:
        def trust(column: str, value: float, direction: Direction) -> Figure:
            ends = {"low": max(0.0, value - 0.02), "high": min(1.0, value + 0.02)}
            about = {"metric": "trust", "quantity": column, "unit": "share", "range": (0, 1)}
            return Figure(**about, direction=direction, value=value, **ends)

        figures = (
            trust(ACCEPTS_PRIVATE, self.knows, Direction.USEFUL),
            trust(TAKES_STRANGERS, 0.01, Direction.LEAKS),
        )
        return tuple(Judge(data="staff", name=j, model="net", knows="them", figures=figures) for j in JUDGES)

    def pictures(self) -> tuple[Picture, ...]:
        shown = min(self.people, 6)
        grid = png(pixels(shown))
        return tuple(
            Picture(
                data="staff", model="door", defense="none", attack=attack, seed=0, png=grid, caption="",
                people=tuple(self.names[:shown]), publishable=self.publishable,
            )
            for attack in self.attacks
            if self.pictured
        )  # fmt: skip

    def audit(self) -> AuditFacts:
        made = AuditFacts(
            model="Staff door", file="door.pt", checksum="ab" * 32, access="white-box", classes=max(2, self.people),
            people_checked=self.people, pictures_checked=5 * self.people, accuracy=0.98, order="declared",
            normalisation="mean 0.5", size=64, budget=1800.0, spent=1700.0, defenses=tuple(self.defended),
        )  # fmt: skip
        return replace(made, **self.facts)


@pytest.fixture
def case() -> type[Case]:
    return Case
