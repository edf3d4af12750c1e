"""A step that is computed by a process which somebody else starts: Ray or Slurm, on another machine for instance."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path

from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Outcome, Surroundings, describe
from unveil.harness.running.limits import Limits
from unveil.harness.running.pools import Work
from unveil.harness.running.processes import ProcessPool
from unveil.harness.running.resources import Needs, needs
from unveil.harness.words.errors import StoreError, UnveilError
from unveil.harness.words.run import Silent

LOOK = 0.5  # seconds between two looks for a signal, which waiting for a lock may not notice


@dataclass(frozen=True)
class Place:
    """What a process elsewhere is told, to find files and modules as this one does.

    Attributes:
        folder: Where relative paths begin.
        path: Where modules are looked for.
        threads: Of the step.
        limits: Of the step.
    """

    folder: str
    path: tuple[str, ...]
    threads: int
    limits: Limits

    @classmethod
    def here(cls, threads: int, limits: Limits) -> Place:
        """Of this process."""
        return cls(os.getcwd(), tuple(sys.path), threads, limits)


@dataclass(frozen=True)
class Errand:
    """A step, packed, that may be unpacked elsewhere. Tensors are not in it: they lie in the store.

    Attributes:
        place: What it takes.
        packed: Work, node and surroundings.
    """

    place: Place
    packed: bytes

    def run(self) -> bytes:
        """Computes it in a worker process of this one, which is kept for the next step.

        Returns:
            An outcome, or an error of the store, for `result`.
        """
        try:
            pool = _worker(self.place)
            future = pool.send(self.packed, Silent())
        except Exception as error:
            return pickle.dumps(Outcome("failed", describe(error)))
        try:
            while not future.done():
                wait([future], LOOK)
        except BaseException:  # Ctrl-C, or a queue that wants its machine back
            _dismiss()
            raise
        found = future.exception() or future.result()
        return pickle.dumps(found if isinstance(found, Outcome | StoreError) else Outcome("failed", describe(found)))

    def stop(self) -> None:
        """Ends the step, at a checkpoint where that comes soon."""
        _dismiss()


def pack(work: Work, node: Node, around: Surroundings, place: Place) -> Errand:
    """A step to be sent. What needs no GPU gets none, and computes without."""
    plain = needs(node) is Needs.CPU and around.device != "cpu"
    own = replace(around, device="cpu", mixed_precision=False) if plain else around
    return Errand(place, pickle.dumps((work, node, replace(own, shown=Silent(), threads=place.threads))))


def wants_gpu(node: Node, around: Surroundings) -> bool:
    """Whether a step should be sent where there is one."""
    return needs(node) is Needs.GPU and around.device != "cpu"


def result(packed: bytes, future: Future[Outcome]) -> None:
    """Settles a future with what an errand came back with."""
    found = pickle.loads(packed)  # noqa: S301 (of a process that this one has sent)
    if isinstance(found, StoreError):
        future.set_exception(found)
    else:
        future.set_result(found)


class _Kept:
    """The worker of this process, and what it was started for."""

    pool: ProcessPool | None = None
    started: tuple[Place, str] | None = None


def _worker(place: Place) -> ProcessPool:
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # which a process that is used again may have others of
    if _Kept.pool is not None and _Kept.started == (place, gpu):
        return _Kept.pool
    _dismiss()
    if not Path(place.folder).is_dir():
        raise UnveilError(
            f"{place.folder} is not on this machine ({os.uname().nodename})",
            "the folder that the run was started from, on a disk that all machines share",
            "start it from one",
        )
    os.chdir(place.folder)
    sys.path[:] = [*place.path, *(folder for folder in sys.path if folder not in place.path)]
    _Kept.pool, _Kept.started = ProcessPool(1, place.threads, place.limits), (place, gpu)
    return _Kept.pool


def _dismiss() -> None:
    """Ends the worker, at a checkpoint where that comes soon."""
    pool, _Kept.pool = _Kept.pool, None
    if pool is not None:
        pool.__exit__(None)


def stop_on_sigterm() -> None:
    """Takes SIGTERM as Ctrl-C, as queues send it before they kill."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
