"""Times what nothing is known of by a probe, and remembers it in the store."""

from __future__ import annotations

import json
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
from unveil.harness.running.likeness import facts
from unveil.harness.store.artefacts import Store

PROBES = "probes"
ALL = 60.0  # seconds for all probes of a plan
EACH = 20.0  # of them for one step, but for reading pictures, without which nothing can be timed


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
    found = []
    for data in store.files.get_many(names).values():
        with suppress(ValueError, KeyError, TypeError):
            told = json.loads(data)
            found.append({**told, "kind": str(told["kind"]), "seconds": float(told["seconds"])})
    return found


def remember(store: Store, node: Node, seconds: float, conditions: Conditions) -> None:
    """Keeps what a probe found: for steps that are as much work, under the same conditions, whatever code they have.

    Raises:
        StoreError: If the store cannot be written.
    """
    when = datetime.now(UTC).isoformat(timespec="seconds")
    told = {**facts(node), **asdict(conditions), "seconds": round(seconds, 3), "label": node.label, "when": when}
    name = f"{PROBES}/{node.key}-{digest(asdict(conditions))[:12]}.json"
    store.put_text(name, json.dumps(told, sort_keys=True) + "\n")


def timed(nodes: Iterable[Node], store: Store, how: Probing) -> dict[str, str]:
    """Times steps one after the other, for as long as there is time.

    Args:
        nodes: Those to be timed, one for each amount of work.
        store: Where what they need lies, as far as it was computed, and where it is remembered what they take.
        how: With what, and for how long.

    Returns:
        Why a step could not be timed, by key.

    Raises:
        StoreError: If the store cannot be written.
    """
    from unveil.harness.running.rehearse import Rehearsal  # noqa: PLC0415 (torch is loaded for whoever probes)

    end = time.monotonic() + how.seconds
    reasons: dict[str, str] = {}
    rehearsal = Rehearsal(store, how.around, how.clock)
    for node in nodes:
        left = end - time.monotonic()
        if left <= 0:
            reasons[node.key] = f"no probe yet: {how.seconds:.0f} s went to others; the next `unveil plan` goes on"
            continue
        how.shown(node.label)
        timing = rehearsal.time(node, left if node.kind == "data" else min(left, how.each))
        if timing.seconds is None:
            reasons[node.key] = timing.reason
        else:
            remember(store, node, timing.seconds, how.conditions)
    return reasons
