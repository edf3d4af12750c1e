"""What a plan would cost, judged by what the same kind of work took before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from unveil.harness.plan.file import PRESETS
from unveil.harness.plan.node import Node
from unveil.harness.running.likeness import Amount, amount, facts, plugins_of
from unveil.harness.running.matrix import Matrix
from unveil.harness.store.artefacts import Store

QUICK = ("measure", "picture", "model", "comparer")  # take seconds whatever their settings are
COMPARED = 200_000  # pairs of steps, which take a second or two
RUNGS = 5  # of a defense's own ladder, which is not known before the model is built


@dataclass(frozen=True)
class Step:
    """One node of a plan.

    Attributes:
        kind: Stage.
        label: In words.
        state: ``known`` if it is in the store, else ``to run``.
        seconds: What it took, or may take; None if nothing like it is known. A guess from other data, another model or
            other widths may be wrong by a factor of twenty, so there is none.
        source: What the seconds are known from.
        key: Artefact key.
    """

    kind: str
    label: str
    state: str
    seconds: float | None
    source: str
    key: str


class Past(NamedTuple):
    """A step that was computed once.

    Attributes:
        provenance: Of its artefact.
        amount: Of its work; None where too little is known of it.
    """

    provenance: dict[str, Any]
    amount: Amount | None

    def times(self, wanted: Amount) -> float | None:
        """How many times as long so much work takes; None if that cannot be said."""
        return None if self.amount is None else wanted.over(self.amount)


def estimate(matrix: Matrix, store: Store) -> list[Step]:
    """Every step of a plan, in order."""
    past, elsewhere = ([Past(p, amount(p)) for p in known] for known in (history(store), reference()))
    return [_step(node, store, past, elsewhere) for node in matrix.nodes()]


def costs(nodes: Sequence[Node], store: Store) -> dict[str, float]:
    """Seconds that steps may take, by key, to put them in order; those of its kind where nothing like one is known."""
    elsewhere = reference()
    kinds = {kind: median(_seconds_of(elsewhere, kind)) for kind in {p["kind"] for p in elsewhere}}
    known = history(store)
    if len(nodes) * len(known) > COMPARED:
        return {node.key: kinds.get(node.kind, 0.0) for node in nodes}
    past, others = ([Past(p, amount(p)) for p in these] for these in (known, elsewhere))
    steps = [_step(node, store, past, others) for node in nodes]
    return {
        step.key: 0.0 if step.state == "known" else kinds.get(step.kind, 0.0) if step.seconds is None else step.seconds
        for step in steps
    }


def _seconds_of(known: Iterable[Mapping[str, Any]], kind: str) -> list[float]:
    return [p["seconds"] for p in known if p["kind"] == kind]


def reference() -> list[dict[str, Any]]:
    """What the steps of the presets took on two cores, for stores that know nothing yet."""
    timings: list[dict[str, Any]] = json.loads((PRESETS / "timings.json").read_text(encoding="utf-8"))
    return timings


def history(store: Store) -> list[dict[str, Any]]:
    """Provenance of every artefact in the store that can be read."""
    return [store.provenance(key) for key in store.known()]


def _step(node: Node, store: Store, past: list[Past], elsewhere: list[Past]) -> Step:
    if store.has(node.key):
        seconds = float(store.provenance(node.key)["seconds"])
        return Step(node.kind, node.label, "known", seconds, "this store", node.key)
    if node.kind == "strength":
        return Step(node.kind, node.label, "to run", 0.0, "a look at its ladder", node.key)
    wanted = facts(node)
    for place, known in (("", past), (", two cores elsewhere", elsewhere)):
        alike = [p for p in known if p.provenance["kind"] == node.kind]
        for source, found in _nearest(node, wanted, alike).items():
            if found:
                return Step(node.kind, node.label, "to run", median(found), source + place, node.key)
        if node.kind == "ladder" and (one := _target_like(wanted, known)) is not None:
            count = 1 + (max(map(len, node.options["values"].values()), default=0) or RUNGS)
            source = f"{count} targets of the same model"
            return Step(node.kind, node.label, "to run", count * one, source + place, node.key)
    return Step(node.kind, node.label, "to run", None, "", node.key)


def _nearest(node: Node, wanted: dict[str, Any], alike: list[Past]) -> dict[str, list[float]]:
    """Seconds, by what they are known from, the best source first."""
    work = amount(wanted)
    assert work is not None
    like = [(times, p.provenance["seconds"]) for p in alike if (times := p.times(work)) is not None]
    found = {
        "the same step, other code": _seconds(p for p in alike if p.provenance.get("identity") == node.identity),
        "as much work": [seconds for times, seconds in like if times == 1],
        "the same work, other numbers of steps": [times * seconds for times, seconds in like],
    }
    if node.kind in QUICK:
        same = (p for p in alike if plugins_of(p.provenance) == plugins_of(wanted))
        found["the same plugin, other settings"] = _seconds(same)
    return found


def _seconds(found: Iterable[Past]) -> list[float]:
    return [p.provenance["seconds"] for p in found]


def _target_like(wanted: dict[str, Any], known: list[Past]) -> float | None:
    """Seconds of a target that is the same model, under whatever defense."""
    work, targets = amount(_undefended(wanted)), [p.provenance for p in known if p.provenance["kind"] == "target"]
    assert work is not None
    bare = [Past(p, amount(_undefended(p))) for p in targets if "options" in p]
    found = [times * p.provenance["seconds"] for p in bare if (times := p.times(work)) is not None]
    return median(found) if found else None


def _undefended(work: dict[str, Any]) -> dict[str, Any]:
    return {**work, "uses": {"model": work["uses"]["model"]}, "options": {"recipe": work["options"]["recipe"]}}
