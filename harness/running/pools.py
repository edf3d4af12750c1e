"""Where nodes are computed. The scheduler knows one verb, submit, and asks first whether there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from unveil.harness.plan.node import Node
from unveil.harness.running import processors
from unveil.harness.running.execute import Outcome, Surroundings
from unveil.harness.running.limits import Limits
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
        limits: Of each step.
    """

    kind: PoolKind = PoolKind.INLINE
    jobs: int = 1
    threads: int = 0
    limits: Limits = Limits()

    @contextmanager
    def opened(self) -> Iterator[Pool]:
        """The pool, until the block ends; what is running then is stopped, at a checkpoint where that comes soon."""
        if self.kind is PoolKind.INLINE:
            yield InlinePool()
            return
        from unveil.harness.running.processes import ProcessPool  # noqa: PLC0415 (whoever computes here needs none)

        with ProcessPool(self.jobs, self.threads, self.limits) as pool:
            yield pool


def pooling(
    kind: str | None = None, jobs: int | None = None, threads: int | None = None, limits: Limits = Limits()
) -> Pooling:
    """What is asked for, filled in.

    Args:
        kind: ``inline`` or ``processes``; None: processes for more than one job, and where steps have limits.
        jobs: Steps at a time; None: one inline, else one for each GPU, or for each core where there is none.
        threads: Threads for all of them together; None: the cores of this machine, unless OMP_NUM_THREADS says how many
            a process may have.
        limits: Of each step.

    Raises:
        PlanError: If that cannot be.
    """
    if kind is not None and kind not in list(PoolKind):
        raise PlanError(f"there is no pool {kind!r}", f"one of {', '.join(PoolKind)}", "correct it")
    for name, number in (("jobs", jobs), ("threads", threads)):
        if number is not None and number < 1:
            raise PlanError(f"{name} = {number}", "1 or more", "correct it")
    apart = bool(limits) or (jobs or 1) > 1
    which = PoolKind(kind) if kind else PoolKind.PROCESSES if apart else PoolKind.INLINE
    if which is PoolKind.INLINE:
        if apart:
            what = "limits for a step" if limits else f"{jobs} jobs"
            raise PlanError(f"{what} in the pool {kind!r}", "a pool of processes for that", "take the pool processes")
        return Pooling(which, 1, processors.alone(threads))
    jobs = jobs or (1 if kind is None else _gpus() or processors.cores())
    return Pooling(which, jobs, processors.share(jobs, threads), limits)


def _gpus() -> int:
    import torch  # noqa: PLC0415 (takes seconds)

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
