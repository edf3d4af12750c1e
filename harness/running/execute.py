"""Computes one node: the function that a pool is given."""

from __future__ import annotations

import dataclasses
import importlib
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from unveil.harness.plan import checkout
from unveil.harness.plan.node import Node
from unveil.harness.running.conditions import processor
from unveil.harness.running.deadline import NO_TIME, Deadline
from unveil.harness.running.heap import kept
from unveil.harness.running.interrupts import deferred
from unveil.harness.running.likeness import facts
from unveil.harness.running.profile import PROFILE, Meter
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.arithmetic import steady
from unveil.harness.words.errors import AssetError, StoreError, UnveilError
from unveil.harness.words.names import Precision
from unveil.harness.words.run import Progress, Run, Silent


def _nobody(counts: bool) -> None:
    """Hears that, where nobody limits a step's time."""


@dataclass(frozen=True)
class Surroundings:
    """What a node is computed with and its answer does not depend on.

    Attributes:
        store: URL of the store.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        mixed_precision: Whether matrix work uses bfloat16.
        deadline: When the run should be over; None: whenever it is.
        probing: Whether each step finds that out by itself; see `harness.training.probe`.
        shown: Where progress goes.
        counts: Told whether the time from now on is the step's own; that of waiting for another run is not.
        compiled: Whether networks that attacks descend are compiled.
        isolated: Whether a target of which an attack sees only scores or labels is kept in another process.
        threads: Threads that a step computes with; 0: as many as torch takes.
    """

    store: str
    device: str = "cpu"
    mixed_precision: bool = False
    shown: Progress = field(default_factory=Silent)
    counts: Callable[[bool], None] = _nobody
    compiled: bool = False
    isolated: bool = True
    threads: int = 0
    probing: bool = False
    deadline: Deadline | None = None

    def over(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline.passed()

    def ending(self, within: float | None) -> Surroundings:
        """The same, to be over within so many seconds; None: whenever it is."""
        return self if within is None else replace(self, deadline=Deadline.within(within))


@dataclass(frozen=True)
class Outcome:
    """How a node ended.

    Attributes:
        status: ``done``, ``cached``, ``failed``, ``blocked`` or ``unscored`` (a metric whose weights are not to be
            had: neither a failure nor an artefact, and tried again by the next run).
        error: What was raised and where, if it failed; what failed before it, if it is blocked.
        seconds: Time it took, now or when it was computed.
    """

    status: str
    error: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the artefact is there."""
        return self.status in ("done", "cached")


@lru_cache(maxsize=1)
def _bench(url: str) -> Bench:
    return Bench(Store(url))


def compute(node: Node, around: Surroundings) -> Outcome:
    """Computes and stores a node whose parents are in the store.

    Where another run is at it already, its result is waited for. A plugin that raises is a failed node; a store that
    cannot be written ends the run.

    Raises:
        DamageError: If a parent cannot be read. It is set aside.
        StoreError: If the result cannot be kept.
    """
    bench = _bench(around.store)
    around.counts(False)
    with bench.store.lease(node.key, node.label):
        around.counts(True)
        bench.store.forget([node.key])  # this process may have read what has been taken away since
        if bench.store.usable(node.key):  # another run was faster
            return cached(node, bench.store)
        start, meter = time.monotonic(), Meter(around.device)
        try:
            with deferred() as signalled, computing_with(around.threads), kept():
                try:
                    artefact = _artefact(node, bench, around, lambda: signalled() or around.over())
                except KeyboardInterrupt:  # which a checkpoint raises
                    if signalled() or not around.over():
                        raise
                    return Outcome("blocked", f"{NO_TIME}; it goes on from a checkpoint", time.monotonic() - start)
        except StoreError:
            raise
        except AssetError as error:
            status = "unscored" if node.kind in ("measure", "model") else "failed"
            return Outcome(status, describe(error), time.monotonic() - start)
        except (Exception, SystemExit) as error:  # a plugin may not end the run either
            return Outcome("failed", describe(error), time.monotonic() - start)
        finally:
            meter.stop()
        seconds = time.monotonic() - start
        behind = {**artefact.provenance, **provenance(node, around, seconds), PROFILE: meter.read(artefact)}
        bench.store.save(node.key, dataclasses.replace(artefact, provenance=behind))
        bench.store.clear_scratch(node.key)
        return Outcome("done", seconds=seconds)


def cached(node: Node, store: Store) -> Outcome:
    """The outcome of a node that is in the store."""
    return Outcome("cached", seconds=float(store.provenance(node.key)["seconds"]))


def _artefact(node: Node, bench: Bench, around: Surroundings, interrupted: Callable[[], bool]) -> Artefact:
    """What the node's stage makes; from its start if a checkpoint cannot be put back."""
    import torch  # noqa: PLC0415 (so that a scheduler need not load it)

    if around.compiled:
        torch.compiler.reset()  # it keeps a few variants of a function and then, saying nothing, compiles no more
    stage, run = importlib.import_module(node.step), _run(node, bench.store, around, interrupted)
    with steady(rounded=around.mixed_precision):
        try:
            artefact: Artefact = stage.compute(node, bench, run)
        except StoreError:
            raise
        except Exception:
            if not run.misfits():
                raise
            run = _run(node, bench.store, around, interrupted)
            artefact = stage.compute(node, bench, run)
    precision = Precision.MIXED if run.mixed_precision else Precision.FULL  # which the step may have chosen
    return dataclasses.replace(artefact, provenance={**artefact.provenance, "precision": str(precision)})


@contextmanager
def computing_with(count: int) -> Iterator[None]:
    """With so many threads in the block; 0: as many as torch takes."""
    import torch  # noqa: PLC0415 (see _artefact)

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(node: Node, store: Store, around: Surroundings, interrupted: Callable[[], bool]) -> Run:
    import torch  # noqa: PLC0415 (see _artefact)

    return Run(
        node.randomness,
        torch.device(around.device),
        around.mixed_precision,
        store.scratch(node.key),
        around.shown,
        isolated=around.isolated,
        compiled=around.compiled,
        probing=around.probing,
        disk=store.disk,
        interrupted=interrupted,
    )


def describe(error: BaseException) -> str:
    """An error in words that any file can hold, with the place where it was raised if it may be a bug."""
    text = str(error)
    if not isinstance(error, UnveilError):
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        text = f"{type(error).__name__}: {text}{place}"
    return text.encode(errors="backslashreplace").decode()  # it may name a file whose name is no text


def provenance(node: Node, around: Surroundings, seconds: float) -> dict[str, Any]:
    """Where and when a node was computed, and with what."""
    import torch  # noqa: PLC0415 (see _artefact)

    return {
        "label": node.label,
        **facts(node),
        "origins": node.origins,
        "identity": node.identity,
        "seconds": round(seconds, 2),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": around.device,
        "compiled": around.compiled,
        "threads": around.threads or torch.get_num_threads(),
        "processor": processor(around.device),
        "versions": {
            "unveil": checkout.version(), "python": platform.python_version(), "torch": torch.__version__,
        },
    }  # fmt: skip
