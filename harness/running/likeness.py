"""Whether two units of work cost about the same, from what is known of them: for estimates."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from unveil.harness.plan.node import Node

LINEAR = ("steps", "epochs")  # twice as many cost twice as much
IGNORED = ("seed",)
TARGETS = ("weights", "ladder", "target", "given_target")


def surroundings(node: Node) -> dict[str, Any]:
    """The data set and the target's model that a node is about, as they enter identities; empty where it needs none."""
    nodes = [one for one in node.lineage() if one.kind in ("data", *TARGETS)]
    return {role: uses[0].question for one in nodes for role in ("dataset", "model") if (uses := one.uses.get(role))}


def facts(node: Node) -> dict[str, Any]:
    """What is compared, as the provenance of a computed node holds it, too."""
    uses = {role: [use.question for use in uses] for role, uses in node.uses.items()}
    known = {"kind": node.kind, "uses": uses, "options": dict(node.options), "on": surroundings(node)}
    judge = node.parents.get("evaluator")
    return known if judge is None else {**known, "judge": judge.uses["model"][0].question}


@dataclass(frozen=True)
class Amount:
    """What decides how long a piece of work takes.

    Attributes:
        same: Plugins, data, model, the model that judges, and every whole number in the settings that work is not
            proportional to: widths, batches, restarts. Other settings are taken to cost nothing.
        linear: Steps and epochs, which it is proportional to.
    """

    same: str
    linear: tuple[int, ...]

    def over(self, known: Amount) -> float | None:
        """How many times as long it takes as another; None if the two cannot be compared."""
        if self.same != known.same:
            return None
        return math.prod(n / m if m else 1.0 for n, m in zip(self.linear, known.linear, strict=True))


def amount(work: Mapping[str, Any]) -> Amount | None:
    """Of facts, as a node or its provenance has them; None where these do not say what data and model it was about."""
    if "on" not in work:
        return None
    numbers = sorted([*_inside(("uses",), work["uses"]), *_inside(("options",), work.get("options", {}))])
    fixed = [(path, None if path[-1] in LINEAR else n) for path, n in numbers]
    judge = [work["judge"]] if "judge" in work else []
    same = json.dumps([plugins_of(work), work["on"], fixed, *judge], sort_keys=True)
    return Amount(same, tuple(n for path, n in numbers if path[-1] in LINEAR))


class Work(NamedTuple):
    """What is known of a node's work before it is done.

    Attributes:
        facts: As its provenance will have them.
        amount: What follows from them.
    """

    facts: dict[str, Any]
    amount: Amount


_WORKS: WeakKeyDictionary[Node, Work] = WeakKeyDictionary()  # a plan's nodes are asked about again and again


def work(node: Node) -> Work:
    """Of a node, found once."""
    if node not in _WORKS:
        known = facts(node)
        much = amount(known)
        assert much is not None
        _WORKS[node] = Work(known, much)
    return _WORKS[node]


def work_of(node: Node) -> tuple[str, str]:
    """Equal for steps whose seconds follow from each other's: of one kind, and alike but for numbers of steps."""
    return node.kind, work(node).amount.same


def plugins_of(work: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names by role."""
    return {role: [use["use"] for use in group] for role, group in work["uses"].items()}


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
