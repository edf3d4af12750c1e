"""What steps may take, by what like ones took: one answer for whoever asks, found at once however many are known."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from unveil.harness.plan.node import Node
from unveil.harness.running.likeness import Amount, amount, plugins_of, work

QUICK = ("measure", "picture", "model", "comparer", "given_target")  # take seconds whatever their settings are
TELLING = 0.5  # seconds from which a step tells how fast a machine is
RUNGS = 5  # of a defense's own ladder, which is not known before the model is built


class Guess(NamedTuple):
    """What a step may take.

    Attributes:
        seconds: So long.
        source: What they are known from, in words.
    """

    seconds: float
    source: str


class _Past(NamedTuple):
    """A step that was computed once."""

    amount: Amount
    seconds: float


class Forecast:
    """Steps that were computed, by kind and by what decides how long they take.

    Args:
        known: Their provenance.
    """

    def __init__(self, known: Iterable[Mapping[str, Any]]) -> None:
        self._same: defaultdict[tuple[str, str], list[_Past]] = defaultdict(list)
        self._bare: defaultdict[str, list[_Past]] = defaultdict(list)
        self._identities: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._plugins: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._kinds: defaultdict[str, list[float]] = defaultdict(list)
        for one in known:
            self._learn(one, one["kind"], one["seconds"])

    def _learn(self, one: Mapping[str, Any], kind: str, seconds: float) -> None:
        self._kinds[kind].append(seconds)
        self._identities[kind, one.get("identity", "")].append(seconds)
        self._plugins[kind, _named(one)].append(seconds)
        if (much := amount(one)) is not None:
            self._same[kind, much.same].append(_Past(much, seconds))
        if kind == "target" and "options" in one and (bare := amount(undefended(one))) is not None:
            self._bare[bare.same].append(_Past(bare, seconds))

    def alike(self, node: Node) -> Guess | None:
        """By the same step, by as much work or by the same work in other numbers of steps; None if none is known."""
        wanted, asked = work(node)
        if found := self._identities.get((node.kind, node.identity)):
            return Guess(median(found), "the same step, other code")
        if known := self._same.get((node.kind, asked.same)):
            equal = [past.seconds for past in known if past.amount.linear == asked.linear]
            if equal:
                return Guess(median(equal), "as much work")
            return Guess(_scaled(asked, known), "the same work, other numbers of steps")
        return self._ladder(node, wanted) if node.kind == "ladder" else None

    def loosely(self, node: Node) -> Guess | None:
        """By the same plugin, of steps that take seconds; None if none is known, or it is no such step."""
        quick = self._plugins.get((node.kind, _named(work(node).facts))) if node.kind in QUICK else None
        return Guess(median(quick), "the same plugin, other settings") if quick else None

    def pace(self, other: Forecast) -> tuple[float, int]:
        """How many times as long the same work takes here as there, and by how many pieces of work that is known.

        Steps that take no time to speak of say nothing.
        """
        shared = [(self._same[both], other._same[both]) for both in self._same.keys() & other._same.keys()]
        ratios = [_ratio(mine, theirs) for mine, theirs in shared if max(one.seconds for one in theirs) >= TELLING]
        return (median(ratios), len(ratios)) if ratios else (1.0, 0)

    def typical(self, kind: str) -> float:
        """Seconds of any step of the kind; 0 where none is known."""
        return median(self._kinds[kind]) if self._kinds.get(kind) else 0.0

    def _ladder(self, node: Node, wanted: Mapping[str, Any]) -> Guess | None:
        """By targets that are the same model, under whatever defense."""
        bare = amount(undefended(wanted))
        if bare is None or not (known := self._bare.get(bare.same)):
            return None
        count = 1 + (max(map(len, node.options["values"].values()), default=0) or RUNGS)
        return Guess(count * _scaled(bare, known), f"{count} targets of the same model")


def _scaled(wanted: Amount, known: Iterable[_Past]) -> float:
    return median((wanted.over(past.amount) or 0.0) * past.seconds for past in known)


def _ratio(mine: Iterable[_Past], theirs: Sequence[_Past]) -> float:
    return median(past.seconds / max(_scaled(past.amount, theirs), 1e-9) for past in mine)


def _named(facts: Mapping[str, Any]) -> str:
    return json.dumps(plugins_of(facts), sort_keys=True)


def undefended(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of a target, or a ladder of them: the same without its defenses."""
    return {**facts, "uses": {"model": facts["uses"]["model"]}, "options": {"recipe": facts["options"]["recipe"]}}
