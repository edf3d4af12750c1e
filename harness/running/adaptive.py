"""The attack that knows of the defense: ``use = "adaptive"`` in a plan, made of a base by what each defense says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.harness.plan import plugins
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.parts import AttackPart
from unveil.harness.words.errors import PlanError, PluginError
from unveil.harness.words.names import Access
from unveil.harness.words.needs import access_of
from unveil.harness.words.spec import Spec

ADAPTIVE = "adaptive"
NO_COUNTER = "adaptive: nothing is known here against {}, so this is the attack itself"
BYPASSED = "adaptive, against {}: bypassed, since who holds the weights takes it off, and that is the adaptive attack"
ALREADY = "adaptive, against {}: the attack is already what a critic of it would write"


@dataclass(frozen=True)
class Adapted:
    """An attack for one defense.

    Attributes:
        spec: The attack.
        fixed: Label of the plan's attack that it is made of and compared with; empty if it stands alone.
        notes: What it does otherwise, for the row.
    """

    spec: Spec
    fixed: str = ""
    notes: tuple[str, ...] = ()


def adapted(asker: Asker, part: AttackPart, defense: DefensePart) -> Adapted:
    """An attack of a plan as it meets a defense; any but ``adaptive`` as it is.

    Raises:
        PlanError: If an adaptive attack has no base, or something beside it.
    """
    if part.use != ADAPTIVE:
        return Adapted(part.spec)
    spec, fixed = _base(asker, part)
    notes: list[str] = []
    for one in defense.stack:
        if (counter := _counter(asker, one, spec)) == spec:
            notes.append(ALREADY.format(one.use))
        elif counter is not None:
            notes.append(f"adaptive, against {one.use}: {_difference(spec, counter)}")
            spec = counter
        elif _takes_off(asker, one, spec):
            notes.append(BYPASSED.format(one.use))
        elif one.use != "none":
            notes.append(NO_COUNTER.format(one.use))
    return Adapted(spec, fixed, tuple(notes))


def _base(asker: Asker, part: AttackPart) -> tuple[Spec, str]:
    """The attack to start from, and which of the plan's it is."""
    given: Any = dict(part.spec.settings)
    base = given.pop("base", None)
    use = base.get("use") if isinstance(base, Mapping) else base
    if not isinstance(use, str) or given:
        raise PlanError(
            f"an adaptive attack with {f'the settings {sorted(given)}' if given else f'base = {base!r}'}",
            'base = "ppa", the name of another attack of the plan, or { use = "ppa", steps = 50 }, and nothing else',
            "move other settings into base",
        )
    others = [other for other in asker.plan.attacks if other.use != ADAPTIVE]
    if isinstance(base, str):
        for other in others:
            if other.label == base:
                return other.spec, other.label
    settings = {} if isinstance(base, str) else {name: value for name, value in base.items() if name != "use"}
    spec = Spec(use, settings)
    return spec, next((other.label for other in others if other.spec == spec), "")


def _counter(asker: Asker, defense: Spec, attack: Spec) -> Spec | None:
    """What the defense says of an attack that knows of it; None if nothing, or it cannot be made of this base."""
    known = plugins.load("attacks", attack.use, Path(asker.base)).__dataclass_fields__  # type: ignore[attr-defined]
    found: Spec | None = asker.use("defenses", defense).plugin.counter(attack, frozenset(known))
    if found is None or found == attack:
        return found
    try:
        asker.use("attacks", found).plugin  # noqa: B018 (made here, so that a base which does not fit is no error)
    except PluginError:
        return None
    return found


def _takes_off(asker: Asker, defense: Spec, attack: Spec) -> bool:
    """Whether a defense changes answers alone, and the attack has the weights behind them."""
    on_answers = getattr(asker.use("defenses", defense).plugin, "on_answers", False)
    return on_answers and access_of(asker.use("attacks", attack).plugin) == Access.WHITE_BOX


def _difference(before: Spec, after: Spec) -> str:
    changed = {n: v for n, v in after.settings.items() if n != "base" and before.settings.get(n, ...) != v}
    settings = ", ".join(f"{name} = {_plain(value)}" for name, value in changed.items())
    return settings if after.use == before.use else f"inside {after.use}{f' ({settings})' if settings else ''}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("use", dict(value)))
    return str([_plain(one) for one in value]) if isinstance(value, list | tuple) else str(value)
