"""A rehearsal of a plan: people, epochs and steps are cut to a share of what they are, as far as plugins accept that.

Which settings are cut is decided in `harness.plan.lengths`.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unveil.harness.plan import plugins, settings
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.lengths import LENGTHS, MARKS, as_spec, lengths, of_plugins, plain, short, shortened
from unveil.harness.plan.parts import EvaluatorPart, Part, TargetPart
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.spec import Spec

if TYPE_CHECKING:
    from unveil.harness.plan.file import Plan

P = TypeVar("P", bound=Part)

INNER = ("priors", "attacks")  # kinds of plugins that are settings of others, and take their time
STEPS = 1.25  # between the shares that are tried, where a plugin does not accept a smaller one


@dataclass(frozen=True)
class Cut:
    """One setting that was cut.

    Attributes:
        part: Of the plan, such as ``attacks``; empty for what holds for all cells.
        label: Of the entry.
        where: Whose setting it is, for a reader.
        setting: Its name.
        whole: Its value in the plan, or by default.
        cut: Its value in the rehearsal.
    """

    part: str
    label: str
    where: str
    setting: str
    whole: Any
    cut: Any

    def __str__(self) -> str:
        return f"{self.setting} {_shown(self.whole)} -> {_shown(self.cut)}"


def lines(cuts: Iterable[Cut]) -> tuple[str, ...]:
    """What was cut in words, a line for each plugin: ``gmi: steps 2400 -> 24, restarts 5 -> 1``."""
    found: dict[str, list[str]] = {}
    for cut in cuts:
        found.setdefault(cut.where, []).append(str(cut))
    return tuple(f"{where}: {', '.join(dict.fromkeys(told))}" for where, told in found.items())


def scaled(plan: Plan, base: Path) -> tuple[Plan, tuple[Cut, ...]]:
    """A plan cut to its scale, and what was cut; the plan itself where it has none.

    Args:
        plan: The plan.
        base: Folder that relative files are looked for in.

    Raises:
        PluginError: If a plugin names a setting in ``cut_by_scale`` that it does not have.
    """
    if plan.scale == 1:
        return plan, ()
    scaler = _Scaler(plan, base)
    return scaler.plan(), tuple(scaler.cuts)


class _Scaler:
    def __init__(self, plan: Plan, base: Path) -> None:
        self.whole, self.share, self.base = plan, plan.scale, base
        self.cuts: list[Cut] = []
        self.private: int | None = None

    def plan(self) -> Plan:
        plan = self.whole
        changes: dict[str, Any] = {"identities": self._count("", "", "plan", "identities", plan.identities)}
        changes["data"] = [self._part("data", "datasets", part) for part in plan.data]
        self.private = min(self._private(changes["data"]), default=None)
        changes["recipe"] = self._recipe("", "", "recipe", plan.recipe, common=True)
        changes["targets"] = [self._target(part) for part in plan.targets]
        changes["evaluators"] = [self._evaluator(part) for part in plan.evaluators]
        changes["defenses"] = [self._defense(part) for part in plan.defenses]
        changes["attacks"] = [self._part("attacks", "attacks", part) for part in plan.attacks]
        changes["metrics"] = [self._part("metrics", "metrics", part) for part in plan.metrics]
        return plan.model_copy(update=changes)

    def _private(self, parts: Iterable[Part]) -> Iterator[int]:
        """How many private people the data sets have, where their settings say so."""
        for part in parts:
            told = part.spec.settings
            yield from (n for name in LENGTHS["datasets"] if type(n := told.get(name)) is int)

    def _part(self, part: str, kind: str, entry: P) -> P:
        spec, cuts = self._spec(kind, entry.spec, entry.label)
        self._note(part, entry.label, cuts)
        return _having(entry, spec)

    def _target(self, entry: TargetPart) -> TargetPart:
        made = self._part("targets", "models", entry)
        recipe = self._recipe("targets", entry.label, f"{entry.label}, its recipe", entry.recipe)
        made = made.model_copy(update={"recipe": recipe})
        if entry.pretrain is None:
            return made
        pretrain = self._recipe("targets", entry.label, f"{entry.label}, its pretraining", entry.pretrain)
        return made.model_copy(update={"pretrain": pretrain})

    def _evaluator(self, entry: EvaluatorPart) -> EvaluatorPart:
        made = self._part("evaluators", "models", entry)
        recipe = self._recipe("", "", f"{entry.label}, its recipe", entry.recipe)
        return made.model_copy(update={"recipe": recipe})

    def _defense(self, entry: DefensePart) -> DefensePart:
        tables = {}
        for spec in entry.stack:
            where = entry.label if isinstance(entry.use, str) else f"{entry.label}, {spec.use}"
            swept = entry.swept[1] if entry.sweep and entry.swept[0] == spec.use else ""
            made, cuts = self._spec("defenses", spec, where, swept)
            self._note("defenses", entry.label, cuts)
            tables[spec.use] = dict(made.settings)
        own = tables[entry.use] if isinstance(entry.use, str) else {n: t for n, t in tables.items() if t}
        recipe = self._recipe("defenses", entry.label, f"{entry.label}, its recipe", entry.recipe)
        on = {target: self._on(entry, target, changes) for target, changes in entry.on.items()}
        kept = {name: getattr(entry, name) for name in DefensePart.model_fields}
        return DefensePart.model_validate({**kept, **own, "recipe": recipe, "on": on})

    def _on(self, entry: DefensePart, target: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What a defense is on one target: that recipe's epochs, and whatever of its settings is a length."""
        where, made = f"{entry.label} on {target}", dict(changes)
        if isinstance(recipe := changes.get("recipe"), Mapping):
            made["recipe"] = self._recipe("defenses", entry.label, f"{where}, its recipe", recipe)
        for spec in entry.meeting(target).stack:
            own = changes if isinstance(entry.use, str) else changes.get(spec.use, {})
            short, cuts = self._spec("defenses", spec, where if isinstance(entry.use, str) else f"{where}, {spec.use}")
            cuts = [cut for cut in cuts if cut.setting in own]
            self._note("defenses", entry.label, cuts)
            cut = {one.setting: short.settings[one.setting] for one in cuts}
            made |= cut if isinstance(entry.use, str) else {spec.use: {**own, **cut}} if cut else {}
        return made

    def _note(self, part: str, label: str, cuts: Iterable[Cut]) -> None:
        self.cuts += [dataclasses.replace(cut, part=part, label=label) for cut in cuts]

    def _count(self, part: str, label: str, where: str, setting: str, value: int) -> int:
        cut = shortened(value, self.share)
        if cut != value:
            self.cuts.append(Cut(part, label, where, setting, value, cut))
        return cut

    def _spec(self, kind: str, spec: Spec, where: str, left: str = "") -> tuple[Spec, list[Cut]]:
        """A plugin with its lengths cut, and those of the plugins that are its settings.

        As it is where it cannot be found or made: what is wrong with it is told when the plan is expanded.
        """
        try:
            cls = plugins.load(kind, spec.use, self.base)
            given = dict(settings.reshaped(cls, spec.settings, self.base))
        except UnveilError:
            return self._unknown(spec, where)
        values = {f.name: f.default for f in dataclasses.fields(cls)} | given
        hints = typing.get_type_hints(cls, include_extras=True)
        inner, cuts = self._inner({name: one for name, one in values.items() if of_plugins(hints.get(name))}, where)
        idle = self._idle(kind, Spec(spec.use, given))
        names = [name for name in lengths(kind, cls) if name != left and name not in idle]
        share = self.share
        while share < 1:
            found = {name: short(name, values[name], share, hints[name]) for name in names}
            changed = {name: value for name, value in found.items() if value != plain(values[name])}
            trial = Spec(spec.use, {**given, **inner, **changed})
            if self._accepted(kind, trial):
                own = [Cut("", "", where, name, plain(values[name]), value) for name, value in changed.items()]
                return (trial, [*own, *cuts]) if own or cuts else (spec, [])
            share *= STEPS
        trial = Spec(spec.use, {**given, **inner})
        return (trial, cuts) if cuts and self._accepted(kind, trial) else (spec, [])

    def _idle(self, kind: str, spec: Spec) -> tuple[str, ...]:
        """The settings that change nothing beside the others that a plugin has: to cut them would shorten nothing."""
        try:
            return tuple(getattr(settings.make(kind, spec, self.base), "idle", ()))  # most plugins have none
        except UnveilError:
            return ()

    def _accepted(self, kind: str, spec: Spec) -> bool:
        try:
            settings.make(kind, spec, self.base)
        except UnveilError:
            return False
        return True

    def _unknown(self, spec: Spec, where: str) -> tuple[Spec, list[Cut]]:
        """What is no plugin, such as an adaptive attack, whose base may be another entry of the plan."""
        entries = [part.label for part in self.whole.attacks]
        values = {name: value for name, value in spec.settings.items() if value not in entries}
        inner, cuts = self._inner(values, where)
        return Spec(spec.use, {**spec.settings, **inner}), cuts

    def _inner(self, values: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[Cut]]:
        """The settings that are plugins, as tables with their lengths cut; without those that stay as they are."""
        made: dict[str, Any] = {}
        cuts: list[Cut] = []
        for name, value in values.items():
            several = isinstance(value, list | tuple)
            ends = [self._within(one, f"{where}, its {name}") for one in (value if several else [value])]
            if any(found for _, found in ends):
                made[name] = [one for one, _ in ends] if several else ends[0][0]
                cuts += [cut for _, found in ends for cut in found]
        return made, cuts

    def _within(self, value: Any, where: str) -> tuple[Any, list[Cut]]:
        """A setting that may be a plugin; as it is, if nothing of it is cut."""
        spec = as_spec(value)
        kind = self._kind(spec) if spec is not None else None
        if spec is None or kind is None:
            return value, []
        cut, found = self._spec(kind, spec, f"{where} {spec.use}")
        return (cut.table(), found) if found else (value, [])

    def _kind(self, spec: Spec) -> str | None:
        for kind in INNER:
            if spec.use in plugins.registered(kind):
                return kind
            if spec.use.rpartition(":")[0].endswith(".py"):
                try:
                    plugins.load(kind, spec.use, self.base)
                except PluginError:
                    continue
                return kind
        return None

    def _recipe(
        self, part: str, label: str, where: str, changes: Mapping[str, Any], *, common: bool = False
    ) -> dict[str, Any]:
        """A recipe, or changes to one, with its epochs cut, and all that is counted in epochs with them."""
        from unveil.harness.words.recipe import Recipe  # noqa: PLC0415 (imports torch)

        told = {"epochs": Recipe.epochs, "warmup": Recipe.warmup, **changes} if common else dict(changes)
        made: dict[str, Any] = {}
        if type(epochs := told.get("epochs")) is int:
            made["epochs"] = shortened(epochs, self.share)
        if isinstance(warmup := told.get("warmup"), int | float):
            made["warmup"] = float(f"{warmup * self.share:.6g}")
        if MARKS in told:
            made[MARKS] = short(MARKS, told[MARKS], self.share, int)
        made |= self._batches({**self.whole.recipe, **told}) if "people" in told else {}
        cuts = [Cut(part, label, where, n, told.get(n), value) for n, value in made.items() if told.get(n) != value]
        self.cuts += cuts
        return {**changes, **{cut.setting: cut.cut for cut in cuts}}

    def _batches(self, told: Mapping[str, Any]) -> dict[str, int]:
        """Batches of no more people than are left."""
        people, each = told["people"], told.get("each")
        if self.private is None or type(people) is not int or type(each) is not int or people <= self.private:
            return {}
        return {"people": self.private, "batch": self.private * each}


def _having(entry: P, spec: Spec) -> P:
    """An entry with other settings of its plugin."""
    if spec == entry.spec:
        return entry
    own = {name: getattr(entry, name) for name in type(entry).model_fields}
    return type(entry).model_validate({**own, **spec.settings})


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
