"""What a defense of a plan may say, or a stack of them: each row that it makes, and what it is on each target."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unveil.harness.words.names import Strength
from unveil.harness.words.spec import Spec

KEPT_ON_ALL = ("use", "name", "sweep", "tune", "on")  # keys of a defense that no target changes


class DefensePart(BaseModel):
    """A defense, or a stack of them in order.

    A single defense has its settings beside ``use``. In a stack each has a table of its own:
    ``use = ["tl_dmi", "bido"]`` with ``tl_dmi = { freeze = "stage2" }``.

    Attributes:
        use: Name or names.
        name: Name in tables.
        recipe: Changes to the common recipe; the row says so.
        on: By the name of a target, what is otherwise on that target alone: settings, ``recipe``, ``trained``. A depth
            that is published for one network is another one's somewhere else.
        sweep: One setting and its values, weakest first: ``{ beta = [0.003, 0.03] }``, in a stack
            ``{ mid = { beta = [...] } }``. Each value is a row of its own, and together they are a curve.
        tune: Instead of rows, pick one strength by training each: the strongest that costs at most this share of
            validation accuracy. Strengths are those of ``sweep``, else the ladder of the last defense named. What a
            defense leaves open by itself (``freeze = "auto"``) is picked with the same allowance, 0.02 if absent.
        trained: A file with weights that somebody has trained under this defense elsewhere, as of a target. They are
            attacked as they are, with what the defense adds to the network and to its answers.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    use: str | list[str]
    name: str = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    on: dict[str, dict[str, Any]] = Field(default_factory=dict)
    sweep: dict[str, Any] = Field(default_factory=dict)
    tune: Annotated[float, Field(ge=0, lt=1)] | None = None
    trained: str | dict[str, Any] | None = None

    @model_validator(mode="after")
    def _what_is_trained_has_one_strength(self) -> DefensePart:
        if self.trained is not None and (self.sweep or self.recipe or self.tune is not None):
            raise ValueError("trained names weights that are used as they are: leave out sweep, tune and recipe")
        return self

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

    @model_validator(mode="after")
    def _each_target_changes_what_it_may(self) -> DefensePart:
        for target, changes in self.on.items():
            if kept := [key for key in changes if key in KEPT_ON_ALL]:
                raise ValueError(f"on {target} changes {', '.join(kept)}, which is one for all targets")
            use, setting, _ = self.swept if self.sweep else ("", "", None)
            own = changes if isinstance(self.use, str) else changes.get(use, {})
            if setting and setting in own:
                raise ValueError(f"{setting!r} is both swept and set on {target}")
            self.meeting(target)
        return self

    def meeting(self, target: str) -> DefensePart:
        """What it is on a target, by the target's name; where weights are given for that one, no recipe trains any."""
        if target not in self.on:
            return self
        given = self.model_dump(exclude={"on"})
        for key, value in self.on[target].items():
            joins = key == "recipe" or (isinstance(self.use, list) and key in self.use)
            given[key] = {**given.get(key, {}), **value} if joins and isinstance(value, dict) else value
        if "trained" in self.on[target]:
            given["recipe"] = {}
        return DefensePart.model_validate(given)

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
            if taken := [name for name in self.use if name in DefensePart.model_fields]:
                raise ValueError(
                    f"in a stack {taken[0]!r} would be the entry's own key, and not the table of a defense"
                )
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
