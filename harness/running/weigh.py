"""What a step takes of a machine, by its arithmetic: it is begun, and gone through without weight."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.rehearse import Rehearsal, shortened
from unveil.harness.running.stopwatch import Enough, Pace, Stopwatch
from unveil.harness.running.weightless import Weightless
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import DataError
from unveil.harness.words.images import Data
from unveil.harness.words.run import Progress, Silent

T = TypeVar("T")
CYCLE = 5  # steps after which a loop repeats what it does: a critic's, to one of the generator
SOME = 256  # pictures of each kind that what a step needs is made with
BY_ARITHMETIC = Pace(long=0.0, longest=float("inf"), forward=20.0, units=1 + CYCLE)  # a pool is scored before a descent


@dataclass(frozen=True)
class Weight:
    """What a step takes.

    Attributes:
        flops: Operations of all its loops, two for a multiplication with its addition; None if they cannot be counted.
        memory: Most bytes of weights and results at a time.
        reason: Why they cannot be counted.
        whole: Whether it was gone through to its end; else what comes after its last loop that was begun is not in it.
    """

    flops: float | None
    memory: int = 0
    reason: str = ""
    whole: bool = False


class Weighing(Rehearsal):
    """Rehearses steps by a clock that counts arithmetic, of which none is done.

    Args:
        store: Where what is known lies.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store, Surroundings(store.url, isolated=False, threads=1), self._gone, BY_ARITHMETIC)
        self._mode, self._walked, self._walking = Weightless(), 0.0, 0.0
        self._few = _Few(self.store)

    def weigh(self, node: Node, limit: float) -> Weight:
        """What a step takes.

        Args:
            node: The step.
            limit: Seconds that may be spent on it, and as many on what it needs.
        """
        self._mode, before = Weightless(), self.store.made.get(node.key)
        timing = self.time(node, limit)
        if timing.seconds is None:
            return Weight(None, reason=timing.reason)
        whole = self.store.made.get(node.key) is not before
        return Weight(1e9 * timing.seconds, self._mode.weights + self._mode.peak, whole=whole)

    def _gone(self) -> float:
        """Thousands of millions of operations, and seconds where a loop is gone through without counting them."""
        walking = time.process_time() - self._walking if self._walking else 0.0
        return self._mode.flops / 1e9 + self._walked + walking

    @contextmanager
    def _walk(self) -> Iterator[None]:
        self._mode.counting, self._walking = False, time.process_time()
        try:
            yield
        finally:
            self._walked += time.process_time() - self._walking
            self._mode.counting, self._walking = True, 0.0

    def _kept_apart(self, node: Node) -> bool:  # noqa: ARG002 (of which it knows none)
        return False

    def _watch(self, node: Node) -> Stopwatch:  # noqa: ARG002 (all are gone through alike)
        return Stopwatch(self._walk, self.clock, self.pace)

    def _compute(self, node: Node, shown: Progress) -> Artefact:
        if node.kind == "data":
            return super()._compute(node, shown)
        with self._mode:
            return super()._compute(node, shown)

    def _pretend(self, node: Node) -> None:
        """As one epoch, or step, on few pictures makes it; pictures are read."""
        if node.kind == "data":
            return self._read(node)
        own, self._bench, before, self._mode = self._bench, self._few, self._mode, Weightless()
        try:
            self.store.pretend(node.key, self._compute(shortened(node), Silent()))
        finally:
            self._bench, self._mode = own, before
        return None

    def _read(self, node: Node) -> None:
        try:
            self.store.pretend(node.key, self._compute(node, Silent()))
        except Enough:
            self._failed[node.key] = DataError(
                "pictures that could not be read within the time of an estimate",
                "a data set that the store has",
                "read it first: `unveil data PLAN`",
            )
            raise self._failed[node.key] from None


class _Few(Bench):
    """A bench on which data sets have few pictures."""

    def keep(self, node: Node, load: Callable[[], T], device: torch.device | None = None, form: str = "") -> T:
        """See `Bench.keep`."""
        found: Any = super().keep(node, load, device, form)
        return thinned(found) if isinstance(found, Data) else found  # type: ignore[return-value]


def thinned(data: Data) -> Data:
    """The same people with the first few pictures of each kind."""
    parts = ("train", "validation", "test", "public")
    return dataclasses.replace(data, **{part: getattr(data, part)[:SOME] for part in parts})
