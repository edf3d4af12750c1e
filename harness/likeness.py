"""Whether two units of work cost about the same, from what is known of them: for estimates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unveil.harness.graph import Node

LINEAR = ("steps", "epochs")  # twice as many cost twice as much
IGNORED = ("seed",)
TARGETS = ("weights", "ladder", "target")


def surroundings(node: Node) -> dict[str, Any]:
    """The data set and the target's model that a node is about, as they enter identities; empty where it needs none."""
    nodes = [one for one in node.lineage() if one.kind in ("data", *TARGETS)]
    return {role: uses[0].asked for one in nodes for role in ("dataset", "model") if (uses := one.uses.get(role))}


def facts(node: Node) -> dict[str, Any]:
    """What is compared, as the provenance of a computed node holds it, too."""
    uses = {role: [use.asked for use in uses] for role, uses in node.uses.items()}
    return {"kind": node.kind, "uses": uses, "options": dict(node.options), "on": surroundings(node)}


def factor(wanted: Mapping[str, Any], known: Mapping[str, Any]) -> float | None:
    """How many times as long one piece of work takes as another.

    Both must be the same plugins on the same data and model, and every whole number in their settings must be equal:
    widths, batches, restarts. Only steps and epochs may differ, which work is proportional to. Other settings are taken
    to cost nothing.

    Args:
        wanted: Facts of one.
        known: Facts of the other.

    Returns:
        None if they cannot be compared.
    """
    if known.get("on") != wanted["on"] or plugins_of(known) != plugins_of(wanted):
        return None
    a, b = ({path: n for path, n in numbers(one)} for one in (wanted, known))
    if a.keys() != b.keys() or any(a[path] != b[path] for path in a if path[-1] not in LINEAR):
        return None
    times = 1.0
    for path, n in a.items():
        times *= n / b[path] if b[path] else 1.0
    return times


def plugins_of(work: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names by role."""
    return {role: [use["use"] for use in group] for role, group in work["uses"].items()}


def numbers(work: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Whole numbers in the settings and options, by where they stand."""
    yield from _inside(("uses",), work["uses"])
    yield from _inside(("options",), work.get("options", {}))


def _inside(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], int]]:
    """Whole numbers by where they stand. How long a prior was trained costs the attack that searches it nothing."""
    if isinstance(value, Mapping):
        nested = "settings" in value and "settings" in path
        for key, inner in value.items():
            yield from _inside((*path, *(("of",) if nested else ()), str(key)), inner)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _inside((*path, str(i)), inner)
    elif type(value) is int and path[-1] not in IGNORED and not (path[-1] in LINEAR and "of" in path):
        yield path, value
