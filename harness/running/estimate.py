"""What a plan would cost, judged by what the same kind of work took before, here or elsewhere, or by a probe of it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unveil.harness.plan.file import PRESETS
from unveil.harness.plan.node import Node
from unveil.harness.running.conditions import Conditions
from unveil.harness.running.forecast import Forecast, Guess
from unveil.harness.running.likeness import work_of
from unveil.harness.running.matrix import Matrix
from unveil.harness.running.probes import Probes, Probing, remembered
from unveil.harness.store.artefacts import Store

CALIBRATED = 4  # pieces of known work that are timed, to see how fast a machine is
ROUGH = 4  # pieces of short work, of which little is known, that are timed


@dataclass(frozen=True)
class Step:
    """One node of a plan.

    Attributes:
        kind: Stage.
        label: In words.
        state: ``known`` if it is in the store, else ``to run``.
        seconds: What it took, or may take; None if nothing like it is known and a probe could not tell. A guess from
            other data, another model or other widths may be wrong by a factor of twenty, so there is none.
        source: What the seconds are known from, or why they are not known.
        key: Artefact key.
        at_least: Whether it may take longer, since a probe saw the first of its loops only.
    """

    kind: str
    label: str
    state: str
    seconds: float | None
    source: str
    key: str
    at_least: bool = False


def estimate(
    matrix: Matrix, store: Store, probe: Probing | None = None, conditions: Conditions | None = None
) -> list[Step]:
    """Every step of a plan, in order.

    Args:
        matrix: The plan.
        store: What is known; and where it is kept what probes find.
        probe: How to time what nothing is known of; None: not at all.
        conditions: What the steps would be computed under; None: those of the probes, or what a run takes by itself.
    """
    nodes = matrix.nodes()
    where = conditions or (probe.conditions if probe else Conditions.here())
    if probe is None:
        known = Known.of(store, where, remembered(store))
        return [_step(node, known, {}) for node in nodes]
    probes = Probes(store, probe)
    for wanted in (_unknown, _telling, _rough):
        probes.time(wanted(nodes, Known.of(store, where, probes.known)))
    known = Known.of(store, where, probes.known)
    return [_step(node, known, probes.reasons) for node in nodes]


def costs(nodes: Sequence[Node], store: Store, conditions: Conditions | None = None) -> dict[str, float]:
    """Seconds that steps may take, by key: those of its kind where nothing like it is known, 0 of what is there."""
    known = Known.of(store, conditions or Conditions.here(), remembered(store))
    steps = [_step(node, known, {}) for node in nodes]
    return {
        step.key: 0.0 if step.state == "known" else known.typical(step.kind) if step.seconds is None else step.seconds
        for step in steps
    }


def reference() -> list[dict[str, Any]]:
    """What the steps of the presets took on two cores, for stores that know nothing yet."""
    timings: list[dict[str, Any]] = json.loads((PRESETS / "timings.json").read_text(encoding="utf-8"))
    return timings


def history(store: Store) -> list[dict[str, Any]]:
    """Provenance of every artefact in the store that can be read."""
    return [store.provenance(key) for key in store.known()]


@dataclass(frozen=True)
class Known:
    """Where like steps were computed or timed, the nearest first.

    Attributes:
        store: The artefacts.
        near: Under the same conditions, by how that is said.
        far: Under others.
        begun: Under the same conditions, in probes that saw the first part of a step only.
    """

    store: Store
    near: Mapping[str, Forecast]
    far: Mapping[str, Forecast]
    begun: Forecast

    @classmethod
    def of(cls, store: Store, where: Conditions, probes: Sequence[Mapping[str, Any]]) -> Known:
        """What a store knows and probes found, and what is known of the presets elsewhere."""
        past, whole = history(store), [one for one in probes if not one.get("partly")]
        parts = [one for one in probes if one.get("partly") and Conditions.of(one).like(where)]
        mine, timed = ([one for one in some if Conditions.of(one).like(where)] for some in (past, whole))
        others = [one for one in (*past, *whole) if not Conditions.of(one).like(where)]
        near = {"": Forecast(mine), ", in a probe": Forecast(timed)}
        far = {", under other conditions": Forecast(others), ", two cores elsewhere": Forecast(reference())}
        return cls(store, near, far, Forecast(parts))

    def closely(self, node: Node) -> Guess | None:
        """From as much work here."""
        return _first((guess := one.alike(node)) and _placed(guess, place) for place, one in self.near.items())

    def elsewhere(self, node: Node) -> Guess | None:
        """From as much work elsewhere, as fast as this machine is."""
        return _first((guess := one.alike(node)) and self._here(guess, place) for place, one in self.far.items())

    def only(self, node: Node, place: str) -> bool:
        """Whether as much work is known from that place far away, and from none that is nearer."""
        found = [name for name, one in (*self.near.items(), *self.far.items()) if one.alike(node) is not None]
        return found[:1] == [place]

    def roughly(self, node: Node) -> Guess | None:
        """From the same plugin, of short steps."""
        near = ((guess := one.loosely(node)) and _placed(guess, place) for place, one in self.near.items())
        far = ((guess := one.loosely(node)) and self._here(guess, place) for place, one in self.far.items())
        return _first((*near, *far))

    def guess(self, node: Node) -> Guess | None:
        """The best of them."""
        return self.wholly(node) or self.at_least(node)

    def wholly(self, node: Node) -> Guess | None:
        """From steps that were seen to their end."""
        return self.closely(node) or self.elsewhere(node) or self.roughly(node)

    def at_least(self, node: Node) -> Guess | None:
        """From as much work that was begun here."""
        return (guess := self.begun.alike(node)) and _placed(guess, ", in a probe of its first part")

    def typical(self, kind: str) -> float:
        """Seconds of any step of a kind; 0 where none is known."""
        return next((found for one in (*self.near.values(), *self.far.values()) if (found := one.typical(kind))), 0.0)

    def calibrated(self, place: str) -> tuple[float, int]:
        """How many times as long work takes here as far away, and by how many pieces of work that is known."""
        found = [one.pace(self.far[place]) for one in self.near.values()]
        return max(found, key=lambda pace: pace[1])

    def _here(self, guess: Guess, place: str) -> Guess:
        pace, pieces = self.calibrated(place)
        how = f", times {pace:.2g} for this machine" if pieces else ""
        return Guess(guess.seconds * pace, guess.source + place + how)


def _first(guesses: Iterable[Guess | None]) -> Guess | None:
    return next((guess for guess in guesses if guess is not None), None)


def _placed(guess: Guess, place: str) -> Guess:
    return Guess(guess.seconds, guess.source + place)


def _open(nodes: Sequence[Node], known: Known) -> list[Node]:
    """What is to run and takes time of its own."""
    return [node for node in nodes if node.kind not in ("strength", "ladder") and not known.store.has(node.key)]


def _unknown(nodes: Sequence[Node], known: Known) -> list[Node]:
    """Steps that nothing is known of."""
    return [node for node in _open(nodes, known) if known.guess(node) is None]


def _telling(nodes: Sequence[Node], known: Known) -> list[Node]:
    """Of each kind known from elsewhere only, what most time goes to, where little tells how fast this machine is."""
    far = {place: [node for node in _open(nodes, known) if known.only(node, place)] for place in known.far}
    unsure = [node for place, some in far.items() if known.calibrated(place)[1] < CALIBRATED for node in some]
    together: Counter[tuple[str, str]] = Counter()
    for node in unsure:
        guess = known.guess(node)
        together[work_of(node)] += math.ceil(guess.seconds if guess else 0.0)
    most = dict(reversed([(work[0], work) for work, _ in together.most_common()]))  # of each kind
    chosen = sorted(most.values(), key=together.__getitem__)[-CALIBRATED:]
    return [node for node in unsure if work_of(node) in chosen]


def _rough(nodes: Sequence[Node], known: Known) -> list[Node]:
    """Short steps of which only the plugin is known: those works that most steps are."""
    rough = [n for n in _open(nodes, known) if not known.closely(n) and not known.elsewhere(n) and known.guess(n)]
    counts = Counter(work_of(node) for node in rough)
    often = [work for work, _ in counts.most_common(ROUGH)]
    return [node for node in rough if work_of(node) in often]


def _step(node: Node, known: Known, reasons: Mapping[tuple[str, str], str]) -> Step:
    if known.store.has(node.key):
        seconds = float(known.store.provenance(node.key)["seconds"])
        return Step(node.kind, node.label, "known", seconds, "this store", node.key)
    if node.kind == "strength":
        return Step(node.kind, node.label, "to run", 0.0, "a look at its ladder", node.key)
    whole = known.wholly(node)
    if (guess := whole or known.at_least(node)) is not None:
        return Step(node.kind, node.label, "to run", guess.seconds, guess.source, node.key, whole is None)
    return Step(node.kind, node.label, "to run", None, reasons.get(work_of(node), ""), node.key)
