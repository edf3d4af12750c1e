"""A plan file: which defenses meet which attacks on which data, judged by whom. Imports no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unveil.harness.figures.published import NOT_REPRODUCED, Published
from unveil.harness.plan import assignments, environment, reserved
from unveil.harness.plan import complaints as plan_errors
from unveil.harness.plan import text as plan_text
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.given import Given, joined, split
from unveil.harness.plan.parts import PARTS, AttackPart, EvaluatorPart, MetricPart, Part, TargetPart
from unveil.harness.plan.plugins import suggest, use_of
from unveil.harness.plan.scaling import Cut, lines, scaled
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Attacked, Precision


def _labels(part: Any) -> list[str]:
    """What an entry is called, and each row of its sweep."""
    rows = [one.label for one in getattr(part, "variants", [part])]
    return rows if rows == [part.label] else [part.label, *rows]


class Plan(BaseModel):
    """What to run.

    Attributes:
        title: Shown on the page.
        seeds: The whole matrix is repeated for each.
        identities: How many private people are attacked; 0 means all.
        attacked: Which ones: drawn by chance, or the first by number, as most publications have it.
        pictures: How many people the reconstruction grids show.
        precision: How matrix work is rounded where the command leaves it to us; None: mixed on a GPU. In no identity.
        scale: Below 1, the plan is rehearsed: people, epochs and steps are cut to this share, see
            `harness.plan.scaling`.
        reproduced: False says of a published protocol that its numbers were not reproduced by who makes this software.
        recipe: The common training recipe; what is left out takes the default.
        data: Data sets.
        targets: Models.
        evaluators: Judges; there may be none where no metric asks one.
        defenses: Defenses and stacks.
        attacks: Attacks.
        metrics: Metrics.
        published: What papers report of single cells; in no identity.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    identities: Annotated[int, Field(ge=0)] = 0
    attacked: Attacked = "drawn"
    pictures: Annotated[int, Field(ge=0)] = 6
    precision: Literal["full", "mixed"] | None = None
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    reproduced: bool = True
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: Annotated[list[Part], Field(min_length=1)]
    targets: Annotated[list[TargetPart], Field(min_length=1)]
    evaluators: list[EvaluatorPart] = []
    defenses: Annotated[list[DefensePart], Field(min_length=1)]
    attacks: Annotated[list[AttackPart], Field(min_length=1)]
    metrics: Annotated[list[MetricPart], Field(min_length=1)]
    published: list[Published] = []

    def rounding(self, asked: Precision) -> Precision:
        """What a command's precision means for this plan."""
        return Precision(self.precision) if asked is Precision.AUTO and self.precision is not None else asked

    @model_validator(mode="after")
    def _names_differ(self) -> Plan:
        groups: Mapping[str, list[Any]] = {
            kind: getattr(self, kind) for kind in ("data", "targets", "evaluators", "defenses", "attacks", "metrics")
        }
        for kind, parts in groups.items():
            labels = [label for part in parts for label in _labels(part)]
            for label in labels:
                if labels.count(label) > 1:
                    raise ValueError(f"two entries of {kind} are called {label!r}; give one of them another `name`")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {self.seeds} repeat")
        return self

    @model_validator(mode="after")
    def _what_is_said_of_one_target_is_said_of_one_there_is(self) -> Plan:
        known = [target.label for target in self.targets]
        for defense in self.defenses:
            if unknown := [name for name in defense.on if name not in known]:
                raise ValueError(
                    f"the defense {defense.label!r} says what it is on {unknown[0]!r}, which is no target"
                    f"{suggest(unknown[0], known)}; the targets are {', '.join(known)}"
                )
        return self

    @model_validator(mode="after")
    def _published_numbers_are_of_cells(self) -> Plan:
        rows = {
            "defense": [one.label for part in self.defenses for one in part.variants],
            "attack": [part.label for part in self.attacks],
            "target": [part.label for part in self.targets],
            "data": [part.label for part in self.data],
        }
        for number, one in enumerate(self.published, 1):
            for kind, names in rows.items():
                name = getattr(one, kind)
                if name not in names and (name or len(names) > 1):
                    told = f"{name!r}, which no row is called{suggest(name, names)}" if name else "none"
                    raise ValueError(
                        f"entry {number} of published ({one.source}) has the {kind} {told}; "
                        f"it is one of {', '.join(names)}"
                    )
        return self


@dataclass(frozen=True)
class PlanFile:
    """A plan as read.

    Attributes:
        plan: The validated plan, cut to its scale (which ``parse`` does not do: a plan from elsewhere names plugins).
        text: As it is run: the file's, and above it what the command line and the environment gave.
        base: Folder that relative paths are taken from.
        name: File name without ending; of a preset in a folder, with the folder's before it.
        path: Where the file is; None for a preset.
        cuts: What a rehearsal cuts; empty for a whole plan.
    """

    plan: Plan
    text: str
    base: Path
    name: str
    path: Path | None = None
    cuts: tuple[Cut, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of its numbers before there are any."""
        rehearsed = (self.rehearsal(self.cuts),) if self.plan.scale < 1 else ()
        return (*rehearsed, *([] if self.plan.reproduced else [NOT_REPRODUCED]))

    def rehearsal(self, cuts: Iterable[Cut]) -> str:
        """That this is a rehearsal, and what of these it cuts, in words."""
        return f"rehearsal at scale {self.plan.scale:g}: {'; '.join(lines(cuts)) or 'nothing could be cut'}"


PRESETS = files("unveil.harness") / "presets"


def presets() -> list[str]:
    """Names of the plans that come with the package; of one in a folder, with the folder: ``published/celeba64``."""
    return sorted(_plans(PRESETS))


def _plans(folder: Traversable, within: str = "") -> list[str]:
    found: list[str] = []
    for one in folder.iterdir():
        if one.is_dir():
            found += _plans(one, f"{within}{one.name}/")
        elif one.name.endswith(".toml"):
            found.append(f"{within}{one.name.removesuffix('.toml')}")
    return found


def preset(where: str) -> str | None:
    """The preset that is meant; None for a file. One in a folder may have its ending, where no such file is."""
    path = Path(where).expanduser()
    bare = where.removesuffix(".toml") if "/" in where and not path.exists() else where
    return bare if not Path(bare).suffix and bare in presets() else None


def name_of(where: str) -> str:
    """What a plan's report is called, see `PlanFile`."""
    found = preset(where)
    return Path(where).stem if found is None else found.replace("/", "_")


def read(where: str, settings: Iterable[str] = ()) -> PlanFile:
    """Reads a plan file, or a preset by name.

    Args:
        where: Its path or name.
        settings: What else is set, ``KEY=VALUE``, see `harness.plan.assignments.assigned`.

    Raises:
        PlanError: If there is no such file, it is not TOML, or it says something no plan can say.
    """
    text, path = find(where)
    earlier, own = split(text)
    given = earlier.with_settings(settings)
    told = assignments.assigned(plan_text.tables(own, where), given.settings)
    told, used = environment.filled(told, {**given.environment, **os.environ})
    base = path.parent if path else Path.cwd()
    plan, cuts = scaled(_made_out(told, where, base), base)
    return PlanFile(plan, joined(Given(given.settings, used), own), base, name_of(where), path, cuts)


def find(where: str) -> tuple[str, Path | None]:
    """The text of a plan file or of a preset, and where the file is; None for a preset.

    Raises:
        PlanError: If there is no such file, or it cannot be read.
    """
    if (known := preset(where)) is not None:
        return PRESETS.joinpath(f"{known}.toml").read_text(encoding="utf-8"), None
    path = Path(where).expanduser()
    if not path.exists():
        raise _missing(path)
    return plan_text.text(path), path.resolve()


def _missing(path: Path) -> PlanError:
    preset, known = path.name.removesuffix(".toml"), presets()
    near = "" if path.suffix else suggest(str(path), known)
    meant = next((name for name in (preset, f"published/{preset}") if name in known), None)
    hint = near if meant is None else f"; the preset is called {meant!r}"
    return PlanError(
        f"there is no plan {str(path)!r}{hint}",
        f"a TOML file or one of the presets: {', '.join(known)}",
        f"correct the path, which is looked for in {Path.cwd()}" if not path.is_absolute() else "correct the path",
    )


def parse(text: str, where: str) -> Plan:
    """Validates the text of a plan, or of one as it was run. Of the environment it takes what that says, and no more.

    Args:
        text: TOML.
        where: What to call it in errors.

    Raises:
        PlanError: If it is not TOML or not a plan.
    """
    given, own = split(text)
    told = assignments.assigned(plan_text.tables(own, where), given.settings)
    return checked(environment.filled(told, given.environment)[0] if given.environment else told, where)


def from_mapping(raw: Mapping[str, Any], settings: Iterable[str] = ()) -> PlanFile:
    """A plan from what a plan file holds. ``use`` may be a class; its report is kept under the title.

    Args:
        raw: Tables by name.
        settings: What else is set, as for ``read``.

    Raises:
        PlanError: If it says something no plan can say.
        PluginError: If a class has no file that it could be imported from.
    """
    plain, _ = environment.filled(assignments.assigned(_by_name(raw), settings), os.environ)
    plan, cuts = scaled(_made_out(plain, "the plan", Path.cwd()), Path.cwd())
    return PlanFile(plan, json.dumps(plain, indent=1), Path.cwd(), plan.title, cuts=cuts)


def _by_name(value: Any) -> Any:
    """Classes by what a plan file calls them, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(name): _by_name(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_by_name(one) for one in value]
    return use_of(value) if isinstance(value, type) else value


def _made_out(raw: dict[str, Any], where: str, base: Path) -> Plan:
    """As `checked`. Where it is no plan, a setting may be the reason that has the name of a key."""
    try:
        return checked(raw, where)
    except PlanError:
        reserved.require_free(reserved.entries_in(raw), base)
        raise


def checked(raw: dict[str, Any], where: str) -> Plan:
    """Validates what a plan file holds.

    Args:
        raw: Tables by name.
        where: What to call it in errors.

    Raises:
        PlanError: If it is not a plan.
    """
    plan_errors.require_known(raw, PARTS, list(Plan.model_fields), where)
    named = {plan_errors.SINGULAR.get(name, name): value for name, value in raw.items()}
    parts = {name: [value] if isinstance(value, dict) and name != "recipe" else value for name, value in named.items()}
    try:
        return Plan.model_validate(parts)
    except ValidationError as error:
        raise plan_errors.of(error, raw, where) from error
