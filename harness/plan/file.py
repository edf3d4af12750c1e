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
from unveil.harness.plan.plugins import suggest, use_of
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Strength
from unveil.harness.words.spec import Spec

Others = Literal["identities", "nobody", "none"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Part(BaseModel):
    """A plugin in a plan: ``use``, optionally a ``name`` for tables, and the plugin's settings beside them."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    use: str
    name: str = ""

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name or self.use.rpartition(":")[2]

    @property
    def spec(self) -> Spec:
        """The plugin and its settings."""
        return Spec(self.use, dict(self.model_extra or {}))


class TargetPart(Part):
    """The model that is attacked.

    Attributes:
        pretrain: Recipe changes for training on the data set's public people first; absent means no such training.
    """

    pretrain: dict[str, Any] | None = None


class AttackPart(Part):
    """An attack, or a control.

    Attributes:
        max_queries: Images that the attack may show the target, per attacked identity: together, so many times the
            identities. What a prior or a surrogate asked before the attack is not among them. Absent: no limit.
        max_gradients: As ``max_queries``, for images that a backward pass goes through.
    """

    max_queries: Annotated[int, Field(ge=1)] | None = None
    max_gradients: Annotated[int, Field(ge=1)] | None = None

    @property
    def limits(self) -> dict[str, int]:
        """The limits that there are."""
        given = {"max_queries": self.max_queries, "max_gradients": self.max_gradients}
        return {name: value for name, value in given.items() if value is not None}


class EvaluatorPart(Part):
    """A judge: another architecture with its own seed and split.

    It is not pretrained on the public people: some of them are the strangers that its floor is measured on.

    Attributes:
        others: Whom else it knows: ``identities`` (each public person is a class, at least ``min_pictures``
            pictures), ``nobody`` (all public pictures are one class) or ``none`` (closed set, as in most papers).
        min_pictures: Public people with fewer pictures are left out.
        reject: Share of strangers, measured on some and then checked on others, that may be taken for a private
            person: sets the confidence below which the judge says "nobody here". Absent: 0.05, and 1 (no such
            threshold, as in most papers) for ``others = "none"``.
        seed: Seed of its split and training.
        recipe: Changes to the common recipe.
    """

    others: Others = "identities"
    min_pictures: Annotated[int, Field(ge=2)] = 5
    reject: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 1000
    recipe: dict[str, Any] = Field(default_factory=dict)


class DefensePart(BaseModel):
    """A defense, or a stack of them in order.

    A single defense has its settings beside ``use``. In a stack each has a table of its own:
    ``use = ["tl_dmi", "bido"]`` with ``tl_dmi = { freeze = "stage2" }``.

    Attributes:
        use: Name or names.
        name: Name in tables.
        recipe: Changes to the common recipe; the row says so.
        sweep: One setting and its values, weakest first: ``{ beta = [0.003, 0.03] }``, in a stack
            ``{ mid = { beta = [...] } }``. Each value is a row of its own, and together they are a curve.
        tune: Instead of rows, pick one strength by training each: the strongest that costs at most this share of
            validation accuracy. Strengths are those of ``sweep``, else the ladder of the last defense named. What a
            defense leaves open by itself (``freeze = "auto"``) is picked with the same allowance, 0.02 if absent.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    use: str | list[str]
    name: str = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, Any] = Field(default_factory=dict)
    tune: Annotated[float, Field(ge=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one_setting_is_swept(self) -> DefensePart:
        if self.sweep:
            use, setting, values = self.swept
            if use not in self.names:
                raise ValueError(f"sweep names {use!r}, which is not in the stack {', '.join(self.names)}")
            if not setting or not isinstance(values, list) or not values:
                raise ValueError("sweep is one setting with a list of values, such as { beta = [0.003, 0.03] }")
            if isinstance(self.use, str) and setting in DefensePart.model_fields:
                raise ValueError(f"sweep has {setting!r}, which is no setting of {use}")
            own = (self.model_extra or {}) if isinstance(self.use, str) else (self.model_extra or {}).get(use, {})
            if setting in own:
                raise ValueError(f"{setting!r} is both set and swept")
            if self.tune is not None and use != self.names[-1]:
                raise ValueError(
                    f"tune picks a strength of {self.names[-1]!r}, the last defense, but sweep has {use!r}"
                )
        return self

    @property
    def names(self) -> list[str]:
        """The defenses in order, by name."""
        return [self.use] if isinstance(self.use, str) else self.use

    @property
    def swept(self) -> tuple[str, str, Any]:
        """Defense, setting and values of the sweep; empty if there is none, or more than one setting."""
        if isinstance(self.use, str):
            use, inner = self.use, self.sweep
        else:
            use, inner = next(iter(self.sweep.items())) if len(self.sweep) == 1 else ("", {})
        if not isinstance(inner, dict) or len(inner) != 1:
            return use, "", None
        return use, *next(iter(inner.items()))

    @property
    def variants(self) -> list[DefensePart]:
        """One part per row: itself, or one for each value of the sweep."""
        if not self.sweep or self.tune is not None:
            return [self]
        use, _, _ = self.swept
        return [self._with(use, strength) for strength in self.strengths if strength is not None]

    @property
    def strengths(self) -> list[Strength | None]:
        """Of each row: its step of the sweep, if there is one."""
        if not self.sweep or self.tune is not None:
            return [None]
        _, setting, values = self.swept
        return [Strength(setting=setting, value=value) for value in values]

    def _with(self, use: str, strength: Strength) -> DefensePart:
        given = self.model_dump(exclude={"sweep"})
        inner = given if isinstance(self.use, str) else given.setdefault(use, {})
        inner[strength.setting] = strength.value
        return DefensePart.model_validate({**given, "name": f"{self.label} {strength}"})

    @model_validator(mode="after")
    def _settings_belong(self) -> DefensePart:
        if isinstance(self.use, list):
            if len(set(self.use)) < len(self.use) or not self.use:
                raise ValueError(f"a stack names each defense once, not {self.use}")
            for name, settings in (self.model_extra or {}).items():
                if name not in self.use or not isinstance(settings, dict):
                    raise ValueError(f"in a stack {name!r} must be a table of settings of one of {', '.join(self.use)}")
        return self

    @property
    def stack(self) -> tuple[Spec, ...]:
        """The defenses in order."""
        extra = dict(self.model_extra or {})
        if isinstance(self.use, str):
            return (Spec(self.use, extra),)
        return tuple(Spec(use, extra.get(use, {})) for use in self.use)

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name or "+".join(spec.use.rpartition(":")[2] for spec in self.stack)


def _labels(part: Any) -> list[str]:
    """What an entry is called, and each row of its sweep."""
    rows = [one.label for one in getattr(part, "variants", [part])]
    return rows if rows == [part.label] else [part.label, *rows]


class Plan(_Strict):
    """What to run.

    Attributes:
        title: Shown on the page.
        seeds: The whole matrix is repeated for each.
        identities: How many private people are attacked; 0 means all.
        pictures: How many people the reconstruction grids show.
        recipe: The common training recipe; what is left out takes the default.
        data: Data sets.
        targets: Models.
        evaluators: Judges; there may be none where no metric asks one.
        defenses: Defenses and stacks.
        attacks: Attacks.
        metrics: Metrics.
    """

    title: str
    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    identities: Annotated[int, Field(ge=0)] = 0
    pictures: Annotated[int, Field(ge=0)] = 6
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: Annotated[list[Part], Field(min_length=1)]
    targets: Annotated[list[TargetPart], Field(min_length=1)]
    evaluators: list[EvaluatorPart] = []
    defenses: Annotated[list[DefensePart], Field(min_length=1)]
    attacks: Annotated[list[AttackPart], Field(min_length=1)]
    metrics: Annotated[list[Part], Field(min_length=1)]

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


PARTS: Mapping[str, type[BaseModel]] = {
    "targets": TargetPart,
    "evaluators": EvaluatorPart,
    "defenses": DefensePart,
    "attacks": AttackPart,
}
"""What the entries of each part are read as, where they have keys of their own."""


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
