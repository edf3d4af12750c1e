"""Times what nothing is known of by a probe, and remembers it in the store."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from unveil.harness.plan.canonical import digest
from unveil.harness.plan.node import Node
from unveil.harness.running.conditions import Conditions
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.likeness import amount, facts, work_of
from unveil.harness.store.artefacts import Store
from unveil.harness.store.collection import PROBES
from unveil.harness.words.errors import StoreError

log = logging.getLogger("unveil")
ALL = 60.0  # seconds for all probes of a plan
EACH = 20.0  # of them for one step; half of what is left to read pictures, without which nothing can be timed


@dataclass(frozen=True)
class Probing:
    """How unknown steps are timed.

    Attributes:
        around: What they would be computed with.
        seconds: That all probes together may take; what is not reached then is left for the next time.
        each: Of them for one step.
        clock: Seconds since whenever, which steps are timed by.
        shown: Called with a step's label before its probe.
    """

    around: Surroundings
    seconds: float = ALL
    each: float = EACH
    clock: Callable[[], float] = time.monotonic
    shown: Callable[[str], None] = lambda label: None  # noqa: ARG005

    @property
    def conditions(self) -> Conditions:
        """What the probes are true of."""
        return Conditions.here(self.around.device, self.around.threads)


def remembered(store: Store) -> list[dict[str, Any]]:
    """What earlier probes found, as a provenance says what a step took; those that cannot be read are none."""
    names = [f"{PROBES}/{name}" for name in store.files.names(PROBES) if name.endswith(".json")]
    return [told for data in store.files.get_many(names).values() if (told := _read(data)) is not None]


def _read(data: bytes) -> dict[str, Any] | None:
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        told: dict[str, Any] = json.loads(data)
        if amount(told) is not None and isinstance(told["kind"], str) and 0 <= told["seconds"] < math.inf:
            return told
    return None


def told_of(node: Node, seconds: float, conditions: Conditions, *, partly: bool = False) -> dict[str, Any]:
    """What is remembered of a probe: for steps that are as much work, whatever code they have.

    Args:
        node: The step that was timed.
        seconds: That it takes.
        conditions: Under which.
        partly: Whether it takes this or longer, see `harness.running.rehearse.Timing`.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        **facts(node),
        **asdict(conditions),
        "seconds": round(seconds, 3),
        "label": node.label,
        "when": when,
        "partly": partly,
    }


class Probes:
    """Times steps one after the other, for as long as there is time.

    Args:
        store: Where what they need lies, as far as it was computed, and where it is remembered what they take.
        how: With what, and for how long.

    Attributes:
        known: What probes found, earlier ones too; see `remembered`.
        reasons: Why a step could not be timed, by its work; see `harness.running.likeness.work_of`.
    """

    def __init__(self, store: Store, how: Probing) -> None:
        from unveil.harness.running.rehearse import Rehearsal  # noqa: PLC0415 (torch is loaded for whoever probes)

        self.known, self.reasons = remembered(store), dict[tuple[str, str], str]()
        self._tried: set[tuple[str, str]] = set()
        self._store, self._how, self._end = store, how, time.monotonic() + how.seconds
        self._rehearsal = Rehearsal(store, how.around, how.clock)

    def time(self, nodes: Iterable[Node]) -> None:
        """Times one step for each amount of work, in this order; none that could not be timed before."""
        works: dict[tuple[str, str], Node] = {}
        for node in nodes:
            works.setdefault(work_of(node), node)
        for node in works.values():
            for data in (one for one in node.lineage() if one.kind == "data" and one != node):
                self._time(data)  # without pictures nothing can be timed
            self._time(node)

    def _time(self, node: Node) -> None:
        """Times a step, or notes why that cannot be; not twice, and no pictures that are there."""
        work, left = work_of(node), self._end - time.monotonic()
        if work in self._tried or (node.kind == "data" and self._store.has(node.key)):
            return
        if left <= 0:
            self.reasons[work] = f"no probe yet: the others took {self._how.seconds:.0f} s; plan again to go on"
            return
        self._tried.add(work)
        self._how.shown(node.label)
        timing = self._rehearsal.time(node, left / 2 if node.kind == "data" else min(left, self._how.each))
        if timing.seconds is None:
            self.reasons[work] = timing.reason
        else:
            self._remember(node, told_of(node, timing.seconds, self._how.conditions, partly=timing.partly))

    def _remember(self, node: Node, told: dict[str, Any]) -> None:
        self.known.append(told)
        name = f"{PROBES}/{node.key}-{digest(asdict(self._how.conditions))[:12]}.json"
        try:
            self._store.put_text(name, json.dumps(told, sort_keys=True) + "\n")
        except StoreError as error:  # one may look at a plan on a store that one may not write
            log.warning("the store does not remember what was timed: %s", error)
