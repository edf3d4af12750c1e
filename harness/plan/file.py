"""A plan file: which defenses meet which attacks on which data, judged by whom. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unveil.harness.plan import complaints as plan_errors
from unveil.harness.plan import text as plan_text
from unveil.harness.plan.parts import PARTS, AttackPart, DefensePart, EvaluatorPart, Part, TargetPart
from unveil.harness.plan.plugins import suggest, use_of
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Precision


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
        pictures: How many people the reconstruction grids show.
        precision: How matrix work is rounded where the command leaves it to us; None: mixed on a GPU. In no identity.
        recipe: The common training recipe; what is left out takes the default.
        data: Data sets.
        targets: Models.
        evaluators: Judges; there may be none where no metric asks one.
        defenses: Defenses and stacks.
        attacks: Attacks.
        metrics: Metrics.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    identities: Annotated[int, Field(ge=0)] = 0
    pictures: Annotated[int, Field(ge=0)] = 6
    precision: Literal["full", "mixed"] | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: Annotated[list[Part], Field(min_length=1)]
    targets: Annotated[list[TargetPart], Field(min_length=1)]
    evaluators: list[EvaluatorPart] = []
    defenses: Annotated[list[DefensePart], Field(min_length=1)]
    attacks: Annotated[list[AttackPart], Field(min_length=1)]
    metrics: Annotated[list[Part], Field(min_length=1)]

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


@dataclass(frozen=True)
class PlanFile:
    """A plan as read.

    Attributes:
        plan: The validated plan.
        text: The file's text.
        base: Folder that relative paths are taken from.
        name: File name without ending.
        path: Where the file is; None for a preset.
    """

    plan: Plan
    text: str
    base: Path
    name: str
    path: Path | None = None


PRESETS = files("unveil.harness") / "presets"


def presets() -> list[str]:
    """Names of the plans that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in PRESETS.iterdir() if p.name.endswith(".toml"))


def read(where: str) -> PlanFile:
    """Reads a plan file, or a preset by name.

    Raises:
        PlanError: If there is no such file, it is not TOML, or it says something no plan can say.
    """
    text, path = find(where)
    return PlanFile(parse(text, where), text, path.parent if path else Path.cwd(), Path(where).stem, path)


def find(where: str) -> tuple[str, Path | None]:
    """The text of a plan file or of a preset, and where the file is; None for a preset.

    Raises:
        PlanError: If there is no such file, or it cannot be read.
    """
    path = Path(where).expanduser()
    if not path.suffix and where in presets():
        return (PRESETS / f"{where}.toml").read_text(encoding="utf-8"), None
    if not path.exists():
        raise _missing(path)
    return plan_text.text(path), path.resolve()


def _missing(path: Path) -> PlanError:
    preset = path.name.removesuffix(".toml")
    near = "" if path.suffix else suggest(str(path), presets())
    hint = f"; the preset is called {preset!r}" if preset in presets() else near
    return PlanError(
        f"there is no plan {str(path)!r}{hint}",
        f"a TOML file or one of the presets: {', '.join(presets())}",
        f"correct the path, which is looked for in {Path.cwd()}" if not path.is_absolute() else "correct the path",
    )


def parse(text: str, where: str) -> Plan:
    """Validates the text of a plan.

    Args:
        text: TOML.
        where: What to call it in errors.

    Raises:
        PlanError: If it is not TOML or not a plan.
    """
    return checked(plan_text.tables(text, where), where)


def from_mapping(raw: Mapping[str, Any]) -> PlanFile:
    """A plan from what a plan file holds. ``use`` may be a class; its report is kept under the title.

    Raises:
        PlanError: If it says something no plan can say.
        PluginError: If a class has no file that it could be imported from.
    """
    plain = _by_name(raw)
    plan = checked(plain, "the plan")
    return PlanFile(plan, json.dumps(plain, indent=1), Path.cwd(), plan.title)


def _by_name(value: Any) -> Any:
    """Classes by what a plan file calls them, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(name): _by_name(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_by_name(one) for one in value]
    return use_of(value) if isinstance(value, type) else value


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
