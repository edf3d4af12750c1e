"""Why a plan cannot be run as written: which key, in which table, and where it should stand. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from unveil.harness.plan import plugins
from unveil.harness.plan.plugins import suggest
from unveil.harness.plan.validation import expected, shown
from unveil.harness.words.errors import PlanError, PluginError

Models = Mapping[str, type[BaseModel]]

SINGULAR = {
    "target": "targets",
    "evaluator": "evaluators",
    "defense": "defenses",
    "attack": "attacks",
    "metric": "metrics",
}
KINDS = {"data": "datasets", "targets": "models", "evaluators": "models"} | {
    kind: kind for kind in ("defenses", "attacks", "metrics")
}
"""What kind of plugin each part of a plan names."""

SEE = "see docs/plans.md"
ADD = {
    "title": 'title = "..." above the first [table]',
    "data": '[data] with use = "folder" or another data set',
    "targets": '[target] with use = "small_resnet" or another model',
    "evaluators": '[evaluator] with use = "plain_cnn" or another model',
    "defenses": '[[defenses]] with use = "none", and one for each defense',
    "attacks": '[[attacks]] with use = "gmi", and one for each attack',
    "metrics": '[[metrics]] with use = "attack_accuracy" or use = "utility"',
}


def names_of(key: str) -> list[str]:
    """A key of a plan and its other spelling."""
    return [key, *(one for one, many in SINGULAR.items() if many == key)]


def require_known(
    raw: Mapping[str, Any], models: Mapping[str, type[BaseModel]], known: Iterable[str], where: str
) -> None:
    """Refuses keys that no plan has, and parts that are spelt in both ways.

    Args:
        raw: The plan's tables.
        models: What each part of a plan is read as, for the keys that it has itself.
        known: The keys that plans have.
        where: What to call the plan.

    Raises:
        PlanError: If there are such keys; says in which table they belong.
    """
    for one, many in SINGULAR.items():
        if one in raw and many in raw:
            raise PlanError(f"{where} has both {one!r} and {many!r}", "one of them", f"write [[{many}]] for each entry")
    for key in raw:
        if SINGULAR.get(key, key) in known:
            continue
        home = _home(key, raw, models)
        hint = f"; it belongs to {home}" if home else suggest(key, [*known, *SINGULAR])
        todo = f"move it below {home.rpartition(' ')[2]}" if home else "correct it"
        raise PlanError(f"{where}: unknown key {key!r}{hint}", f"one of {', '.join(known)}", todo)


def _home(key: str, raw: Mapping[str, Any], models: Models) -> str:
    """Whose setting a key is, with its table; empty if nobody's."""
    if key in ("use", "name"):
        return "an entry, below its own [table]"
    for part, value in raw.items():
        kind = SINGULAR.get(part, part)
        for entry in entries(value) if kind in KINDS else ():
            use = entry.get("use")
            if isinstance(use, str) and key in _settings(kind, use):
                return f"{use}, whose settings stand below {_header(part, value)}"
        if kind in models and key in models[kind].model_fields:
            return f"an entry of {kind}, below {_header(part, value)}"
    from unveil.harness.words.recipe import Recipe  # noqa: PLC0415 (imports torch; the plan is wrong anyhow)

    return "the recipe, below [recipe]" if key in Recipe.__dataclass_fields__ else ""


def _settings(kind: str, use: str) -> Sequence[str]:
    try:
        return list(plugins.load(KINDS[kind], use, Path()).__dataclass_fields__)  # type: ignore[attr-defined]
    except PluginError:  # which will be told when the rest of the plan is right
        return ()


def require_own(owner: str, settings: Iterable[str], own: Iterable[str], known: Iterable[str]) -> None:
    """Refuses a key of the whole plan among somebody's settings: TOML gives it to the table above it.

    Args:
        owner: Whose settings.
        settings: Their names.
        own: The names of the settings that there are.
        known: Keys of a plan.

    Raises:
        PlanError: If one of them is a key of the plan.
    """
    for setting in settings:
        if SINGULAR.get(setting, setting) in known and setting not in own:
            raise _below(setting, f"in the table of {owner}")


def of(error: ValidationError, raw: Mapping[str, Any], where: str) -> PlanError:
    """What is wrong with a plan, in words.

    Args:
        error: What pydantic found; the first is told.
        raw: The plan's tables as read.
        where: What to call the plan.
    """
    first = error.errors()[0]
    key, *inner = (str(part) for part in first["loc"] or ("plan",))
    if not inner and key in ADD and first["type"] in ("missing", "list_type", "too_short"):
        return _part(first, key, raw, where)
    place = _place(key, inner, raw)
    if first["type"] == "missing":
        return _incomplete(f"{where}: {place}", inner[-1], first["input"], key)
    if first["type"] == "value_error":  # which the plan's own checks have put into words
        message = first["msg"].removeprefix("Value error, ")
        return PlanError(f"{where}: {place}: {message}", "a plan that makes sense", SEE)
    return PlanError(f"{where}: {place} = {shown(first['input'])}", expected(first), SEE)


def _part(error: ErrorDetails, key: str, raw: Mapping[str, Any], where: str) -> PlanError:
    """What is wrong with a part of a plan as a whole: it is somewhere else, not there, empty or no table."""
    if error["type"] == "list_type":
        return PlanError(f"{where}: {key} = {shown(error['input'])}", f"a table, such as {ADD[key]}", SEE)
    if error["type"] == "too_short":
        return PlanError(f"{where}: {key} is empty", "one entry at least", f"add {ADD[key]}")
    if (found := next(_misplaced(raw, names_of(key)), None)) is not None:
        return _below(found[0], f"below {found[1]}", f"{where}: ")
    return PlanError(f"{where}: {key} is missing", "this part in every plan", f"add {ADD[key]}; {SEE}")


def _incomplete(place: str, key: str, entry: Any, part: str) -> PlanError:
    keys = list(entry) if isinstance(entry, Mapping) else []
    if keys and all(isinstance(value, Mapping) for value in entry.values()):
        return PlanError(
            f"{place} is missing: it has only tables, {', '.join(keys)}",
            f"{key} in each entry",
            f'write [[{part}]] and below it use = "{keys[0]}"',
        )
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    found = f": {near[0]!r} is there, {key!r} is meant?" if near else f" beside {', '.join(keys)}" if keys else ""
    return PlanError(f"{place} is missing{found}", f"{key} in each entry", "add or correct it; see docs/plans.md")


def _place(key: str, inner: list[str], raw: Mapping[str, Any]) -> str:
    """Where a value stands: ``data: use`` or ``use of entry 2 of attacks``."""
    if not inner:
        return key
    value = next((raw[name] for name in names_of(key) if name in raw), None)
    number, *rest = inner if inner[0].isdigit() else ["", *inner]
    several = isinstance(value, list) and len(value) > 1
    whose = f"entry {int(number) + 1} of {key}" if number and several else key
    return f"{whose}: {'.'.join(rest)}" if rest else whose


def _below(key: str, place: str, where: str = "") -> PlanError:
    return PlanError(
        f"{where}{key!r} stands {place} and so is taken for one of its settings",
        f"{key} above the first [table] of the file",
        "move that line up, or, if it is a table, write it as [[...]] of its own",
    )


def _misplaced(raw: Mapping[str, Any], keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where keys stand in some table, whichever."""
    for name, value in raw.items():
        for entry in entries(value):
            header = _header(name, value)
            yield from ((key, header) for key in keys if key in entry)
            inner = {f"{name}.{part}": one for part, one in entry.items() if isinstance(one, dict | list)}
            yield from _misplaced(inner, keys)


def entries(value: Any) -> list[Mapping[str, Any]]:
    """The tables of a part of a plan, which may be one."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Mapping)]


def _header(name: str, value: Any) -> str:
    return f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
