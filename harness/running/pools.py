"""Where nodes are computed. The scheduler knows one verb, submit, and asks first whether there is room."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Outcome, Surroundings
from unveil.harness.running.resources import Needs
from unveil.harness.words.errors import PlanError

Work: TypeAlias = Callable[[Node, Surroundings], Outcome]
"""A function of a module, so that another process finds it by name."""


class Pool(Protocol):
    """Computes nodes, here or elsewhere."""

    def room(self, needs: Needs) -> bool:
        """Whether a node with such needs would be started at once; always where nothing is being computed."""
        ...

    def submit(self, work: Work, node: Node, around: Surroundings) -> Future[Outcome]:
        """Starts ``work(node, around)`` and returns its future."""
        ...


class InlinePool:
    """Computes at once, in this process and thread: easy to debug."""

    def room(self, needs: Needs) -> bool:  # noqa: ARG002
        """Always: nothing is running."""
        return True

    def submit(self, work: Work, node: Node, around: Surroundings) -> Future[Outcome]:
        """Runs ``work(node, around)`` and returns a future that is already done."""
        future: Future[Outcome] = Future()
        try:
            future.set_result(work(node, around))
        except Exception as error:
            future.set_exception(error)
        return future


class PoolKind(StrEnum):
    """Pools that can be asked for by name."""

    INLINE = "inline"
    PROCESSES = "processes"


@dataclass(frozen=True)
class Pooling:
    """Which pool, and how much of the machine it may take.

    Attributes:
        kind: Which.
        jobs: Steps at a time.
        threads: Threads of each step; 0: as many as torch takes.
    """

    kind: PoolKind = PoolKind.INLINE
    jobs: int = 1
    threads: int = 0

    @contextmanager
    def opened(self) -> Iterator[Pool]:
        """The pool, until the block ends; what is running then is stopped, at a checkpoint where that comes soon."""
        if self.kind is PoolKind.INLINE:
            yield InlinePool()
            return
        from unveil.harness.running.processes import ProcessPool  # noqa: PLC0415 (whoever computes here needs none)

        with ProcessPool(self.jobs, self.threads) as pool:
            yield pool


def pooling(kind: str | None = None, jobs: int | None = None, threads: int | None = None) -> Pooling:
    """What is asked for, filled in.

    Args:
        kind: ``inline`` or ``processes``; None: processes for more than one job.
        jobs: Steps at a time; None: one inline, else one for each GPU, or for each core where there is none.
        threads: Threads for all of them together; None: the cores of this machine, unless OMP_NUM_THREADS says how many
            a process may have.

    Raises:
        PlanError: If that cannot be.
    """
    if kind is not None and kind not in list(PoolKind):
        raise PlanError(f"there is no pool {kind!r}", f"one of {', '.join(PoolKind)}", "correct it")
    for name, number in (("jobs", jobs), ("threads", threads)):
        if number is not None and number < 1:
            raise PlanError(f"{name} = {number}", "1 or more", "correct it")
    which = PoolKind(kind) if kind else PoolKind.PROCESSES if (jobs or 1) > 1 else PoolKind.INLINE
    if which is PoolKind.INLINE:
        if (jobs or 1) > 1:
            raise PlanError(f"{jobs} jobs in the pool {kind!r}", "one", "take the pool processes")
        return Pooling(which, 1, threads or 0)
    jobs = jobs or _gpus() or cores()
    return Pooling(which, jobs, _share(jobs, threads))


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(jobs: int, threads: int | None) -> int:
    """Threads of one of so many jobs."""
    share = max(1, (threads or cores()) // jobs)
    own = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(own)) if threads is None and own.isdecimal() and int(own) else share


def _gpus() -> int:
    import torch  # noqa: PLC0415 (takes seconds)

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
