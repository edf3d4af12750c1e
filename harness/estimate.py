"""What a plan would cost, judged by what the same kind of work took before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from typing import Any

from unveil.harness.graph import Matrix, Node
from unveil.harness.plan import PRESETS
from unveil.harness.store import Store

RUNGS = 5  # of a defense's own ladder, which is not known before the model is built


@dataclass(frozen=True)
class Step:
    """One node of a plan.

    Attributes:
        kind: Stage.
        label: In words.
        state: ``known`` if it is in the store, else ``to run``.
        seconds: What it took, or may take; None if nothing like it was ever run with this store.
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
    asked = {role: [use.asked for use in uses] for role, uses in node.uses.items()}
    for place, known in (("", past), (", two cores elsewhere", elsewhere)):
        alike = [p for p in known if p["kind"] == node.kind and _names(p["uses"]) == _names(asked)]
        nearest = {
            "the same step, other code": [p for p in alike if p["identity"] == node.identity],
            "the same settings": [p for p in alike if p["uses"] == asked],
            "the same plugin, other settings": alike,
        }
        for source, found in nearest.items():
            if found:
                seconds = median(p["seconds"] for p in found)
                return Step(node.kind, node.label, "to run", seconds, source + place, node.key)
        if node.kind == "ladder" and (one := _target_like(node, asked, known)) is not None:
            count = 1 + (max(map(len, node.options["values"].values()), default=0) or RUNGS)
            source = f"{count} targets of the same model"
            return Step(node.kind, node.label, "to run", count * one, source + place, node.key)
    return Step(node.kind, node.label, "to run", None, "", node.key)


def _target_like(node: Node, asked: dict[str, Any], known: list[dict[str, Any]]) -> float | None:
    """Seconds of a target that is the same model, under whatever defense and preferably the same recipe."""
    model = [p for p in known if p["kind"] == "target" and p["uses"]["model"] == asked["model"]]
    exact = [p for p in model if p.get("options", {}).get("recipe") == node.options["recipe"]]
    return median(p["seconds"] for p in exact or model) if model else None


def _names(uses: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    return {role: [use["use"] for use in group] for role, group in uses.items()}
