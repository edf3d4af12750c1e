"""Begins a step for real, to see how fast it goes, and leaves nothing behind: no artefact, no checkpoint."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from unveil.harness.plan import settings as plugin_settings
from unveil.harness.plan.node import Node, Use, step
from unveil.harness.running.execute import Surroundings, computing_with, describe
from unveil.harness.running.heap import kept
from unveil.harness.running.likeness import LINEAR
from unveil.harness.running.shortcut import Shortcut
from unveil.harness.running.stopwatch import USUAL, Enough, Pace, Stopwatch
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.arithmetic import steady
from unveil.harness.words.errors import DataError, UnansweredError, UnveilError
from unveil.harness.words.names import Access
from unveil.harness.words.run import Progress, Run, Silent
from unveil.harness.words.spec import Spec

BY_PLUGINS = ("attack", "prior")
"""What may have any number of loops, one after the other."""
NEVER = Pace(long=float("inf"), longest=float("inf"))
"""Of what can only be had whole: pictures that are read."""

# What a process does that keeps a target, until it answers; see harness.steps.isolation.
APART = """
import pickle, sys
import unveil.harness.steps.isolation
from unveil.harness.words.run import Run
use, classes, shape = pickle.load(sys.stdin.buffer)
use.make().build(classes, shape, Run("probe"))
"""


NOBODY = "it asks somebody from outside, whom no probe may ask: pictures would be shown to them, or leave this machine"


@dataclass(frozen=True)
class Timing:
    """What a rehearsal found.

    Attributes:
        seconds: That the step takes whole; None if that could not be seen.
        reason: Why not.
        partly: Whether the step was seen begin only, so that it takes this or longer: another loop may follow.
    """

    seconds: float | None
    reason: str = ""
    partly: bool = False


class Pretended(Store):
    """A store, and beside it what was only rehearsed, which is never written.

    Args:
        real: The store.
    """

    def __init__(self, real: Store) -> None:
        super().__init__(real.url, real.rhythm)
        self.made: dict[str, Artefact] = {}

    def pretend(self, key: str, artefact: Artefact) -> None:
        """Lets it be read as if it were stored."""
        record = json.loads(json.dumps(artefact.record))  # as JSON gives it back
        self.made[key] = replace(artefact, record=record)

    def has(self, key: str) -> bool:
        """Also if it is pretended."""
        return key in self.made or super().has(key)

    def load(self, key: str) -> Artefact:
        """See `Store.load`."""
        return self.made[key] if key in self.made else super().load(key)

    def open(self, key: str, pictures: Collection[str]) -> Artefact:
        """See `Store.open`."""
        return self.made[key] if key in self.made else super().open(key, pictures)

    def record(self, key: str) -> dict[str, Any]:
        """See `Store.record`."""
        return self.made[key].record if key in self.made else super().record(key)

    def file(self, key: str, name: str) -> bytes | None:
        """See `Store.file`."""
        return self.made[key].files.get(name) if key in self.made else super().file(key, name)


class Rehearsal:
    """Times steps one after the other, each by itself.

    What a step needs and the store lacks is pretended: a target with its first weights takes as long to attack as one
    that was trained.

    Args:
        store: Where what is known lies.
        around: What the steps would be computed with.
        clock: Seconds since whenever.
        pace: For how long a loop is looked at.
    """

    def __init__(
        self, store: Store, around: Surroundings, clock: Callable[[], float] = time.monotonic, pace: Pace = USUAL
    ) -> None:
        self.store, self.around, self.clock, self.pace = Pretended(store), around, clock, pace
        self._bench = Bench(self.store)
        self._apart: dict[str, float] = {}
        self._failed: dict[str, BaseException] = {}

    def time(self, node: Node, limit: float) -> Timing:
        """How long a step takes, as far as that can be seen.

        Args:
            node: The step.
            limit: Seconds that may be spent on it, and as many on what it needs; only the main thread can keep to it
                where a step says nothing of its progress.
        """
        if _asks_somebody(node):
            return Timing(None, NOBODY)
        try:
            with alarm(limit):
                for parent in node.parents.values():
                    self._provide(parent)
        except Enough:
            return Timing(None, "what it needs could not be had within the time of a probe")
        except (Exception, SystemExit) as error:
            return Timing(None, f"what it needs could not be had in a probe: {describe(error)}")
        watch = self._watch(node)
        with alarm(limit, watch.seconds):
            timing = self._timed(node, watch)
        if timing.seconds is None or not self._kept_apart(node):
            return timing
        return replace(timing, seconds=timing.seconds + self._start_apart(node.parents["target"]))

    def _kept_apart(self, node: Node) -> bool:
        """Whether its target is in another process, as far as it asks it anything; in a probe it is in this one."""
        access = getattr(node.uses["attack"][0].plugin, "access", None) if node.kind == "attack" else None
        if not self.around.isolated or access not in (Access.SCORES, Access.LABELS):
            return False
        made = self.store.made.get(node.key)
        return made is None or made.record["budget"].get("attack queries", 0) > 0

    def _start_apart(self, target: Node) -> float:
        """Seconds until another process has such a target; found once for each model."""
        (use,) = target.uses["model"]
        name = json.dumps(use.question, sort_keys=True)
        if name not in self._apart:
            record, began = self.store.record(target.key), self.clock()
            told = pickle.dumps((use, record["classes"], tuple(record["shape"])))
            subprocess.run([sys.executable, "-c", APART], input=told, check=False, capture_output=True)
            self._apart[name] = self.clock() - began
        return self._apart[name]

    def _watch(self, node: Node) -> Stopwatch:
        pace = NEVER if node.kind == "data" else self.pace
        return Stopwatch(Shortcut, self.clock, pace)

    def _timed(self, node: Node, watch: Stopwatch) -> Timing:
        try:
            self.store.pretend(node.key, self._compute(node, watch))
        except Enough:
            seconds = watch.seconds()
            reason = "" if seconds else "it says nothing of its progress within the time of a probe"
            return Timing(seconds, reason, partly=node.kind in BY_PLUGINS)
        except (Exception, SystemExit) as error:  # a plugin may do what it likes
            if watch.whole:
                return Timing(None, f"its probe failed: {describe(error)}")
            return Timing(watch.seconds() or watch.finished())  # what the shortcut came to was too odd for it
        return Timing(watch.finished())

    def _compute(self, node: Node, shown: Progress) -> Artefact:
        if _asks_somebody(node):
            raise UnansweredError(NOBODY)
        around = self.around
        run = Run(node.randomness, torch.device(around.device), around.mixed_precision, shown=shown)
        with steady(rounded=around.mixed_precision), computing_with(around.threads), kept(), _own_numbers(run.device):
            made: Artefact = step(node.step.rpartition(".")[2]).compute(node, self._bench, run)
        return made

    def _provide(self, node: Node) -> None:
        """Pretends that a step was computed, and what it needs; not a second time where that failed."""
        if self.store.has(node.key):
            return
        for parent in node.parents.values():
            self._provide(parent)
        if (failed := self._failed.get(node.key)) is not None:
            raise failed
        try:
            self._pretend(node)
        except (Exception, SystemExit) as error:
            self._failed[node.key] = error
            raise

    def _pretend(self, node: Node) -> None:
        """With one epoch, or step, and without arithmetic where that may be."""
        if node.kind == "data":
            raise DataError(
                "pictures that could not be read within the time of a probe",
                "a data set that the store has",
                "read it first: `unveil data PLAN`",
            )
        with without_arithmetic(node):
            self.store.pretend(node.key, self._compute(shortened(node), Silent()))


def _asks_somebody(node: Node) -> bool:
    return any(parent.kind == "comparer" for parent in node.parents.values())


def _own_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Puts torch's own generators back afterwards."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def without_arithmetic(node: Node) -> AbstractContextManager[object]:
    """Where a step is made that is not timed."""
    return nullcontext() if node.kind == "strength" else Shortcut()


def shortened(node: Node) -> Node:
    """The same step with one of each of its own steps and epochs, where its plugins allow that."""
    options = {name: _one(value) if isinstance(value, Mapping) else value for name, value in node.options.items()}
    uses = {role: tuple(map(_shortened, found)) for role, found in node.uses.items()}
    return replace(node, options=options, uses=uses)


def _one(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: 1 if name in LINEAR and type(value) is int else value for name, value in settings.items()}


def _shortened(use: Use) -> Use:
    fewer = {name: 1 for name, value in plugin_settings.dump(use.plugin).items() if name in LINEAR and value != 1}
    short = Use(use.kind, Spec(use.spec.use, {**use.spec.settings, **fewer}), use.base, use.may_lack)
    try:
        short.plugin  # noqa: B018 (tries whether it can be made)
    except UnveilError:
        return use
    return short


@contextmanager
def alarm(seconds: float, before: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Raises `Enough` in the block after so long. Only the main thread of a system with alarms can do that.

    Args:
        seconds: So long.
        before: Called first.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> None:
        before()
        raise Enough

    earlier = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
