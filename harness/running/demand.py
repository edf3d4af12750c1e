"""What the steps of a plan take of a GPU: memory and arithmetic, each weighed once and remembered in the store."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from unveil.harness.plan.canonical import digest
from unveil.harness.plan.node import Node
from unveil.harness.running.forecast import undefended
from unveil.harness.running.likeness import amount, work
from unveil.harness.running.probes import ALL
from unveil.harness.running.resources import Needs, needs
from unveil.harness.store.artefacts import Store
from unveil.harness.store.collection import PROBES
from unveil.harness.words.errors import StoreError

if TYPE_CHECKING:
    from unveil.harness.running.weigh import Weight

log = logging.getLogger("unveil")
ENDING = "-weight.json"
EACH = 40.0  # seconds for one step, at most
LIGHT = ("strength", "model", "comparer", "given_target")  # look, load or read
LATER = "not weighed yet: the others took {:.0f} s; plan again to go on"


@dataclass(frozen=True)
class Demand:
    """What some steps take that are to run, each of them as much.

    Attributes:
        kind: Stage.
        label: The first of them, in words.
        keys: All of them.
        flops: Operations that each takes, two for a multiplication with its addition; None if that is not known.
        memory: Most bytes of weights and results that each has at a time.
        reason: Why that is not known.
        whole: Whether it was gone through to its end; else it takes at least so much.
    """

    kind: str
    label: str
    keys: tuple[str, ...]
    flops: float | None
    memory: int
    reason: str
    whole: bool

    @property
    def all_flops(self) -> float:
        """Of all of them."""
        return len(self.keys) * (self.flops or 0.0)


def demands(
    nodes: Sequence[Node],
    store: Store,
    seconds: float = ALL,
    shown: Callable[[str], None] = lambda label: None,  # noqa: ARG005
) -> list[Demand]:
    """What is to run, by work: what a defense adds to the training of its model is left out.

    Args:
        nodes: Of a plan.
        store: What is known, and where it is remembered what steps weigh.
        seconds: That may be spent on weighing; what is not reached then is left for the next time. 0: weigh nothing.
        shown: Called with a step's label before it is weighed.
    """
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        if needs(node) is Needs.GPU and node.kind not in LIGHT and not store.has(node.key):
            groups.setdefault(_work(node), []).append(node)
    known = _remembered(store) if groups else {}
    scales = _Scales(store, seconds, shown)
    found = {name: known.get(name) or scales.weigh(some[0], name) for name, some in groups.items()}
    return [
        Demand(some[0].kind, some[0].label, tuple(one.key for one in some), **asdict(found[name]))
        for name, some in groups.items()
    ]


def _work(node: Node) -> str:
    """Equal for steps that take as much."""
    facts = work(node).facts
    much = amount(undefended(facts)) if node.kind in ("target", "ladder") else work(node).amount
    assert much is not None
    return digest([node.kind, asdict(much)])


class _Scales:
    """Weighs steps for as long as there is time, and remembers what they weigh."""

    def __init__(self, store: Store, seconds: float, shown: Callable[[str], None]) -> None:
        from unveil.harness.running.weigh import Weighing  # noqa: PLC0415 (torch is loaded for whoever weighs)

        self._store, self._shown, self._seconds = store, shown, seconds
        self._end = time.monotonic() + seconds
        self._weighing = Weighing(store)

    def weigh(self, node: Node, name: str) -> Weight:
        from unveil.harness.running.weigh import Weight  # noqa: PLC0415 (see above)

        left = self._end - time.monotonic()
        if left <= 0:
            return Weight(None, reason=LATER.format(self._seconds) if self._seconds else "not weighed")
        self._shown(node.label)
        weight = self._weighing.weigh(node, min(left, EACH))
        if weight.flops is not None:
            self._remember(node, {**asdict(weight), "work": name})
        return weight

    def _remember(self, node: Node, told: Mapping[str, Any]) -> None:
        try:
            self._store.put_text(f"{PROBES}/{node.key}{ENDING}", json.dumps(told, sort_keys=True) + "\n")
        except StoreError as error:  # one may look at a plan on a store that one may not write
            log.warning("the store does not remember what was weighed: %s", error)


def _remembered(store: Store) -> dict[str, Weight]:
    """What was weighed before, by work; what cannot be read is not known."""
    names = [f"{PROBES}/{name}" for name in store.files.names(PROBES) if name.endswith(ENDING)]
    found: dict[str, Weight] = {}
    for data in store.files.get_many(names).values():
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            told = json.loads(data)
            found[told["work"]] = _weight(told)
    return found


def _weight(told: Mapping[str, Any]) -> Weight:
    from unveil.harness.running.weigh import Weight  # noqa: PLC0415 (see above)

    return Weight(float(told["flops"]), int(told["memory"]), whole=bool(told["whole"]))
