"""Rows: the plain results that leaderboards, trackers and tables are made of. Knows no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unveil.harness.figures.published import Published
from unveil.harness.words.account import Account
from unveil.harness.words.names import Access, Direction, Quantity, Role, Strength

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["done", "failed", "blocked"]


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    def plain(self) -> dict[str, Any]:
        """As JSON has it; a bound that is infinite becomes the text ``Infinity``, which JSON has no number for."""
        made: dict[str, Any] = json.loads(self.model_dump_json())
        return made


class Figure(Quantity, _Plain):
    """One number with its interval, or the reason why there is none: a `Quantity` that was measured.

    Attributes:
        metric: Name of the metric plugin, such as ``attack_accuracy``.
        judge: Name of the evaluator that judged, if one did.
        unit: Unit of the value.
        direction: What a higher value means; empty where nothing was measured.
        range: Smallest and largest possible value.
        value: The number; None means not scored.
        low: Lower end of the 95 % interval over identities.
        high: Upper end.
        samples: Pictures that went in.
        counted: Whether the value hangs on their number, so that only equal numbers compare.
        identities: People that went in.
        per_identity: Mean per person, by class label (as text, since JSON keys are text).
        each: How many values each of these people has, in the order of their numbers; one number if all have as many.
            With it anybody can compute value and interval again. Empty where nobody said.
        reason: Why it is not scored.
    """

    metric: str
    judge: str | None = None
    unit: str
    direction: Direction | Literal[""]
    range: tuple[float, float]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 0
    counted: bool = False
    identities: int = 0
    per_identity: dict[str, float] = Field(default_factory=dict)
    each: tuple[int, ...] = ()
    reason: str | None = None

    @property
    def name(self) -> str:
        """``metric/column`` with the judge, if any: unique within a row."""
        return f"{self.metric}/{self.column}" + (f"@{self.judge}" if self.judge else "")


def each(counts: Sequence[int]) -> tuple[int, ...]:
    """How many values people have, as `Figure.each` says it.

    >>> each([2, 2, 2]), each([2, 1, 2])
    ((2,), (2, 1, 2))
    """
    return tuple(counts[:1] if len(set(counts)) == 1 else counts)


class _Cell(_Plain):
    data: str
    model: str
    defense: str
    attack: str
    seed: int

    @property
    def cell(self) -> tuple[str, str, str, str, int]:
        """What tells one cell of a matrix from another."""
        return self.data, self.model, self.defense, self.attack, self.seed


class Row(_Cell):
    """One cell of the matrix: a defended target under one attack.

    Attributes:
        data: Name of the data set in the plan.
        model: Name of the target model.
        defense: Name of the defense or stack.
        attack: Name of the attack.
        seed: Seed of the cell.
        family: What the defense is one strength of: the name of its sweep, or its own.
        strength: The swept setting and its value; None without a sweep.
        role: What the attack is a control for; empty for a real one. Controls are never ranked nor averaged with
            attacks.
        access: How much of the target the attack sees. Only attacks that see equally much are compared or averaged.
            None for the ceiling, which sees no target.
        adapts: The attack of the plan that this one is, but for what it knows of the defense; empty for others.
        status: ``done``, ``failed`` (something raised) or ``blocked`` (something it needs failed).
        error: What was raised, where.
        figures: All numbers: the attack's and the target's (utility).
        budget: Queries and gradients, by who spent them: ``attack queries``, ``attack gradients``, ``prior queries``,
            ``surrogate queries`` and so on; where the plan has limits, also ``attack queries allowed``.
        facts: Short text facts about the cell, such as frozen and trainable parameters.
        notes: Departures from the common recipe, and warnings.
        keys: Artefact key per role: data, target, prior, attack.
    """

    family: str = ""
    strength: Strength | None = None
    role: Role | Literal[""] = ""
    access: Access | None = None
    adapts: str = ""
    status: Status
    error: str | None = None
    figures: tuple[Figure, ...] = ()
    budget: dict[str, int] = Field(default_factory=dict)
    facts: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    keys: dict[str, str] = Field(default_factory=dict)


class Judge(_Plain):
    """An evaluator and how far it can be trusted.

    Attributes:
        data: Data set it knows.
        name: Its name in the plan.
        model: Its architecture.
        knows: How many private people and which others it was trained on, in words.
        figures: Its own figures: accuracy on held-out private pictures (the ceiling) and how often it takes a
            public person for a private one (the floor).
        status: As for rows.
        error: As for rows.
    """

    data: str
    name: str
    model: str
    knows: str
    figures: tuple[Figure, ...] = ()
    status: Status = "done"
    error: str | None = None


class Picture(_Cell):
    """A grid of pictures: one line per person, real pictures left, reconstructions right.

    Attributes:
        data: Data set.
        model: Target model.
        defense: Defense.
        attack: Attack.
        seed: Seed.
        png: The PNG, base64.
        caption: What is where.
        people: Names of the people shown, top to bottom.
        publishable: Whether the data set allows it on a page.
    """

    png: str
    caption: str
    people: tuple[str, ...]
    publishable: bool


class PluginUsed(_Plain):
    """Code that numbers come from.

    Attributes:
        kind: Such as ``attacks``.
        name: As a plan names it; ``file.py:Class`` without folders.
        origins: Distribution and version, or file and SHA-256; several where steps were computed with different ones.
    """

    kind: str
    name: str
    origins: tuple[str, ...]


class Results(_Plain):
    """Everything a page shows.

    Attributes:
        title: Title of the plan.
        plan: The plan file's text, as run.
        datasets: Per data set: settings and counts, as shown to a reader.
        accounts: Per data set: what was read of it, and what lies there and was not used.
        rows: All cells, failed ones too.
        judges: All evaluators.
        pictures: Grids.
        plugins: All plugins that had a part in it, by kind and name.
        provenance: Per artefact key: seconds, versions, device, time. Differs between machines, unlike the rows.
        protocol: What the figures mean, see `harness.figures.protocol`; 0: they are older than that number.
        published: What papers report of single cells, as the plan has it. No row knows of it.
        reproduced: Whether the plan says nothing of that; False: the numbers of its protocol were not reproduced yet.
        scale: Below 1, this is a rehearsal: people, epochs and steps were cut to that share.
        cuts: What was cut for it, in words.
    """

    title: str
    plan: str
    datasets: dict[str, dict[str, str]] = Field(default_factory=dict)
    accounts: dict[str, Account] = Field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    judges: tuple[Judge, ...] = ()
    pictures: tuple[Picture, ...] = ()
    plugins: tuple[PluginUsed, ...] = ()
    provenance: dict[str, dict[str, Any]] = Field(default_factory=dict)
    protocol: int = 0
    published: tuple[Published, ...] = ()
    reproduced: bool = True
    scale: float = 1.0
    cuts: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One line for each figure of each cell; see `harness.figures.notebook.frame`."""
        from unveil.harness.figures.notebook import frame  # noqa: PLC0415 (pandas takes a while)

        return frame(self)

    def _repr_html_(self) -> str:
        from unveil.harness.figures.notebook import html  # noqa: PLC0415 (only notebooks ask)

        return html(self)
