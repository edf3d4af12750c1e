"""``"${UNVEIL_X}"`` in the texts of a plan: paths that differ from machine to machine. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from unveil.harness.plan.assignments import label
from unveil.harness.words.errors import PlanError

VARIABLE = re.compile(r"\$\{(\w+)\}")
OURS = "UNVEIL_"  # no other variable can be read: a plan may come from somebody else, and be shown to everybody


def filled(raw: Mapping[str, Any], known: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The tables of a plan with each variable's value in its place, and the variables that were there.

    Args:
        raw: The tables.
        known: Variables.

    Raises:
        PlanError: If a variable is not known, is empty, or is none of ours; names it and the key.
    """
    used: dict[str, str] = {}

    def fill(value: Any, place: str) -> Any:
        if isinstance(value, dict):
            return {name: fill(one, f"{place}.{name}" if place else name) for name, one in value.items()}
        if isinstance(value, list):
            names = [label(one) if isinstance(one, dict) else "" for one in value]
            return [
                fill(one, f"{place}.{name or i}") for i, (one, name) in enumerate(zip(value, names, strict=True), 1)
            ]
        return VARIABLE.sub(lambda found: read(found[1], place), value) if isinstance(value, str) else value

    def read(name: str, place: str) -> str:
        used[name] = _value(name, place, known)
        return used[name]

    return fill(dict(raw), ""), used


def _entry(one: Any, number: int) -> str:
    return (label(one) if isinstance(one, dict) else "") or str(number)


def _value(name: str, place: str, known: Mapping[str, str]) -> str:
    if not name.startswith(OURS):
        raise PlanError(
            f"{place} names the environment variable {name}",
            f"one whose name begins with {OURS}: a plan can read no other",
            f"write ${{{OURS}{name}}} and set that, or write the value itself",
        )
    if not (value := known.get(name, "")):
        raise PlanError(
            f"{place} takes its value from the environment variable {name}, which is not set",
            "a value for it",
            f"set it (export {name}=...), or give the value with --set {place}=...",
        )
    return value
