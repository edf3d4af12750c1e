"""What a plan would cost, judged by what the same kind of work took before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unveil.harness.plan.file import PRESETS
from unveil.harness.plan.node import Node
from unveil.harness.running.forecast import Forecast
from unveil.harness.running.matrix import Matrix
from unveil.harness.store.artefacts import Store


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
    return _steps(matrix.nodes(), store, _places(store))


def costs(nodes: Sequence[Node], store: Store) -> dict[str, float]:
    """Seconds that steps may take, by key: those of its kind where nothing like it is known, 0 of what is there."""
    places = _places(store)
    kinds = {node.kind: max(place.typical(node.kind) for place in places.values()) for node in nodes}
    steps = _steps(nodes, store, places)
    return {
        step.key: 0.0 if step.state == "known" else kinds[step.kind] if step.seconds is None else step.seconds
        for step in steps
    }


def reference() -> list[dict[str, Any]]:
    """What the steps of the presets took on two cores, for stores that know nothing yet."""
    timings: list[dict[str, Any]] = json.loads((PRESETS / "timings.json").read_text(encoding="utf-8"))
    return timings


def history(store: Store) -> list[dict[str, Any]]:
    """Provenance of every artefact in the store that can be read."""
    return [store.provenance(key) for key in store.known()]


def _places(store: Store) -> dict[str, Forecast]:
    """Where like steps were computed, in words, the nearest first, and what these took."""
    return {"": Forecast(history(store)), ", two cores elsewhere": Forecast(reference())}


def _steps(nodes: Sequence[Node], store: Store, places: Mapping[str, Forecast]) -> list[Step]:
    return [_step(node, store, places) for node in nodes]


def _step(node: Node, store: Store, places: Mapping[str, Forecast]) -> Step:
    if store.has(node.key):
        seconds = float(store.provenance(node.key)["seconds"])
        return Step(node.kind, node.label, "known", seconds, "this store", node.key)
    if node.kind == "strength":
        return Step(node.kind, node.label, "to run", 0.0, "a look at its ladder", node.key)
    for place, forecast in places.items():
        if (guess := forecast.alike(node)) is not None:
            return Step(node.kind, node.label, "to run", guess.seconds, guess.source + place, node.key)
    return Step(node.kind, node.label, "to run", None, "", node.key)
