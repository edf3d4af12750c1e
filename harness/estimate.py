"""What a plan would cost, judged by what the same kind of work took before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from typing import Any

from unveil.harness.graph import Matrix, Node
from unveil.harness.likeness import factor, facts, plugins_of
from unveil.harness.plan import PRESETS
from unveil.harness.store import Store

QUICK = ("measure", "picture")  # take seconds whatever their settings are
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


def estimate(matrix: Matrix, store: Store) -> list[Step]:
    """Every step of a plan, in order."""
    past, elsewhere = history(store), reference()
    return [_step(node, store, past, elsewhere) for node in matrix.nodes()]


def reference() -> list[dict[str, Any]]:
    """What the steps of the presets took on two cores, for stores that know nothing yet."""
    timings: list[dict[str, Any]] = json.loads((PRESETS / "timings.json").read_text(encoding="utf-8"))
    return timings


def history(store: Store) -> list[dict[str, Any]]:
    """Provenance of every artefact in the store."""
    found = store.fs.glob(f"{store.root}/artefacts/*.json")
    return [json.loads(store.fs.cat_file(path))["provenance"] for path in sorted(found)]


def _step(node: Node, store: Store, past: list[dict[str, Any]], elsewhere: list[dict[str, Any]]) -> Step:
    if store.has(node.key):
        seconds = float(store.provenance(node.key)["seconds"])
        return Step(node.kind, node.label, "known", seconds, "this store", node.key)
    if node.kind == "strength":
        return Step(node.kind, node.label, "to run", 0.0, "a look at its ladder", node.key)
    wanted = facts(node)
    for place, known in (("", past), (", two cores elsewhere", elsewhere)):
        alike = [p for p in known if p["kind"] == node.kind]
        for source, found in _nearest(node, wanted, alike).items():
            if found:
                return Step(node.kind, node.label, "to run", median(found), source + place, node.key)
        if node.kind == "ladder" and (one := _target_like(wanted, known)) is not None:
            count = 1 + (max(map(len, node.options["values"].values()), default=0) or RUNGS)
            source = f"{count} targets of the same model"
            return Step(node.kind, node.label, "to run", count * one, source + place, node.key)
    return Step(node.kind, node.label, "to run", None, "", node.key)


def _nearest(node: Node, wanted: dict[str, Any], alike: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Seconds, by what they are known from, the best source first."""
    times = [(factor(wanted, p), p["seconds"]) for p in alike]
    found = {
        "the same step, other code": [p["seconds"] for p in alike if p.get("identity") == node.identity],
        "as much work": [seconds for times, seconds in times if times == 1],
        "the same work, other numbers of steps": [times * seconds for times, seconds in times if times is not None],
    }
    if node.kind in QUICK:
        same = [p["seconds"] for p in alike if plugins_of(p) == plugins_of(wanted)]
        found["the same plugin, other settings"] = same
    return found


def _target_like(wanted: dict[str, Any], known: list[dict[str, Any]]) -> float | None:
    """Seconds of a target that is the same model, under whatever defense."""
    bare = {**wanted, "uses": {"model": wanted["uses"]["model"]}, "options": {"recipe": wanted["options"]["recipe"]}}
    found = []
    for p in known:
        if p["kind"] == "target" and "options" in p:
            mine = {**p, "uses": {"model": p["uses"]["model"]}, "options": {"recipe": p["options"]["recipe"]}}
            times = factor(bare, mine)
            found += [] if times is None else [times * p["seconds"]]
    return median(found) if found else None
