"""Where a matrix spent its time, by what is known of its steps. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unveil.harness.running.matrix import Matrix
from unveil.harness.running.profile import PROFILE
from unveil.harness.store.artefacts import Store

SHARED = "(shared)"  # of steps that several defenses or attacks need, such as a data set


@dataclass(frozen=True)
class Step:
    """One step that was computed.

    Attributes:
        kind: Of step.
        label: In words.
        key: Of its artefact.
        defense: What it was done for; `SHARED` if for several.
        attack: The same.
        spent: As `harness.running.profile.Meter` has it; of older artefacts ``wall_s`` alone.
    """

    kind: str
    label: str
    key: str
    defense: str
    attack: str
    spent: Mapping[str, float]

    @property
    def wall(self) -> float:
        """Seconds that it took."""
        return self.spent["wall_s"]


@dataclass(frozen=True)
class Sum:
    """What several steps took together.

    Attributes:
        steps: How many.
        wall_s: Seconds, one after the other.
        cpu_s: Seconds of processors; None if that was not measured for all.
        gpu_s: Seconds of an accelerator; None if it was measured for none.
        peak_memory_bytes: The most of any; None if it was measured for none.
        stored_bytes: Of all that were measured.
    """

    steps: int
    wall_s: float
    cpu_s: float | None
    gpu_s: float | None
    peak_memory_bytes: float | None
    stored_bytes: float


@dataclass(frozen=True)
class Hotspots:
    """A matrix by what it took.

    Attributes:
        steps: Those that are known, the longest first.
        missing: How many are not.
    """

    steps: tuple[Step, ...]
    missing: int

    @property
    def total(self) -> Sum:
        """All of them."""
        return add(self.steps)

    def by(self, what: str) -> dict[str, Sum]:
        """Sums by ``kind``, ``defense`` or ``attack``, the longest first."""
        groups: dict[str, list[Step]] = {}
        for step in self.steps:
            groups.setdefault(getattr(step, what), []).append(step)
        made = {name: add(some) for name, some in groups.items()}
        return dict(sorted(made.items(), key=lambda pair: -pair[1].wall_s))


def add(steps: Iterable[Step]) -> Sum:
    """What steps took together."""
    spent = [step.spent for step in steps]
    cpu, gpu, peaks = (
        [one[name] for one in spent if name in one] for name in ("cpu_s", "gpu_s", "peak_memory_bytes")
    )  # fmt: skip
    return Sum(
        len(spent),
        sum(one["wall_s"] for one in spent),
        sum(cpu) if len(cpu) == len(spent) else None,
        sum(gpu) if gpu else None,
        max(peaks, default=None),
        sum(one.get("stored_bytes", 0) for one in spent),
    )


def hotspots(matrix: Matrix, store: Store) -> Hotspots:
    """What the steps of a matrix took that are in a store.

    Raises:
        StoreError: If the store cannot be read.
    """
    nodes = matrix.nodes()
    store.prefetch(node.key for node in nodes)
    defenses, attacks = _needed_by(matrix)
    steps = [
        Step(
            node.kind,
            node.label,
            node.key,
            _one(defenses.get(node.key, set())),
            _one(attacks.get(node.key, set())),
            _spent(store.provenance(node.key)),
        )
        for node in nodes
        if store.has(node.key)
    ]
    return Hotspots(tuple(sorted(steps, key=lambda step: -step.wall)), len(nodes) - len(steps))


def _needed_by(matrix: Matrix) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Names of the defenses and of the attacks whose cells need a step, by its key."""
    defenses: dict[str, set[str]] = {}
    attacks: dict[str, set[str]] = {}
    for cell in matrix.cells:
        for want in (*cell.nodes.values(), *cell.measures):
            for node in want.lineage():
                defenses.setdefault(node.key, set()).add(cell.defense)
                attacks.setdefault(node.key, set()).add(cell.attack)
    return defenses, attacks


def _one(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else SHARED


def _spent(provenance: Mapping[str, Any]) -> dict[str, float]:
    return {"wall_s": float(provenance["seconds"]), **provenance.get(PROFILE, {})}
