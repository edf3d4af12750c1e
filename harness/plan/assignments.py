"""``--set KEY=VALUE``: what a command line changes in the tables of a plan. Imports no torch."""

from __future__ import annotations

import copy
import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from unveil.harness.plan import plugins
from unveil.harness.plan.complaints import KINDS, SINGULAR, names_of
from unveil.harness.plan.plugins import suggest
from unveil.harness.plan.text import DEEPEST, MOST_DOTS, require_shallow
from unveil.harness.words.errors import PlanError

PART = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^.="']+?)\s*([.=])""")
WRITE = "write --set KEY=VALUE, such as --set data.root=/data/celeba or --set attacks.gmi.steps=10"
NO_VALUE = (datetime.date, datetime.time)  # what TOML knows and no plan


def parsed(text: str) -> tuple[list[str], Any]:
    """The parts of a key and a value: TOML, else text.

    Raises:
        PlanError: If there is no key, or no ``=``.

    Example:
        >>> parsed("attacks.gmi.steps=10"), parsed("data.root=/data/my faces")
        ((['attacks', 'gmi', 'steps'], 10), (['data', 'root'], '/data/my faces'))
    """
    parts, place, mark = [], 0, "."
    while mark == "." and (found := PART.match(text, place)):
        parts.append(_name(found[1]))
        place, mark = found.end(), found[2]
    if mark != "=" or len(parts) > DEEPEST:
        raise PlanError(f"--set {text!r}", "a key of the plan, = and a value", WRITE)
    return parts, _value(text[place:].strip())


def _name(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    return str(_value(text)) if text.startswith('"') else text.strip()


def _value(text: str) -> Any:
    if text.count(".") > MOST_DOTS:  # over which tomllib takes minutes
        return text
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # also a number of thousands of digits
        return text
    value = found.get("value")
    return text if list(found) != ["value"] or isinstance(value, NO_VALUE) else value


def assigned(raw: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """The tables of a plan with what a command line sets.

    Args:
        raw: The tables.
        settings: ``KEY=VALUE``: the key is a dotted path into the plan, in which an entry of a list has its name in
            tables, or its number from 1 on; a list of one entry needs neither.

    Raises:
        PlanError: If a key leads nowhere.
    """
    made = copy.deepcopy(dict(raw))
    for text in settings:
        (key, *rest), value = parsed(text)
        many = SINGULAR.get(key, key)
        own = next((name for name in names_of(many) if name in made), key)
        if rest and many in KINDS:
            if own not in made:
                raise PlanError(f"--set {text!r}: the plan has no {many}", "a key of the plan", WRITE)
            if isinstance(made[own], dict):
                made[own] = [made[own]]
        _put(made, [own, *rest], value, f"--set {text!r}")
    require_shallow(made, "the plan with what is set")
    return made


def _put(holder: Any, path: list[str], value: Any, said: str) -> None:
    """Sets what lies at the end of a path."""
    if isinstance(holder, dict):
        place: Any = path[0]
    elif (place := entry_of(holder, path[0])) is None:
        if len(holder) != 1 or not isinstance(holder[0], dict):
            names = [name for name in map(label, holder) if name]
            known = f"{', '.join(names)}, or " * bool(names)
            raise PlanError(
                f"{said}: there is no entry {path[0]!r}{suggest(path[0], names)}",
                f"{known}a number from 1 to {len(holder)}" if holder else "a list that has entries",
                "name the entry",
            )
        _put(holder[0], path, value, said)
        return
    if len(path) == 1:
        holder[place] = value
        return
    _put(_inner(holder, place, said), path[1:], value, said)


def _inner(holder: Any, place: Any, said: str) -> Any:
    """What lies at a place, a table or a list; made if there is nothing, and a plugin's bare name becomes a table."""
    found = holder.setdefault(place, {}) if isinstance(holder, dict) else holder[place]
    if isinstance(found, str) and any(found in plugins.registered(kind) for kind in plugins.KINDS):
        found = holder[place] = {"use": found}
    if not isinstance(found, dict | list):
        raise PlanError(
            f"{said}: {place!r} is {found!r}, and nothing lies in it",
            "a table or a list on the way to what is set",
            "shorten the key, or set the whole table: --set KEY='{ use = \"...\" }'",
        )
    return found


def entry_of(entries: list[Any], name: str) -> int | None:
    """Which entry of a list is meant, by its name in tables or its number from 1 on; None if none."""
    names = [label(one) for one in entries]
    if names.count(name) == 1:
        return names.index(name)
    return int(name) - 1 if name.isascii() and name.isdigit() and 0 < int(name) <= len(entries) else None


def label(entry: Any) -> str:
    """What tables call an entry of a plan; empty if it is none."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, Mapping):
        return ""
    use = entry.get("use", "")
    uses = [str(one).rpartition(":")[2] for one in (use if isinstance(use, list) else [use])]
    return str(entry.get("name", "")) or "+".join(uses)
