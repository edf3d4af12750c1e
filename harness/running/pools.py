"""Where nodes are computed. The scheduler knows one verb, submit, and asks first whether there is room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from unveil.harness.plan.node import Node
from unveil.harness.running import processors
from unveil.harness.running.execute import Outcome, Surroundings
from unveil.harness.running.limits import Limits
from unveil.harness.running.resources import Needs
from unveil.harness.words.errors import PlanError

QUEUED = 64  # jobs of a Slurm queue at a time
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
    RAY = "ray"
    SLURM = "slurm"


@dataclass(frozen=True)
class Pooling:
    """Which pool, and how much of the machine, or of each of others, it may take.

    Attributes:
        kind: Which.
        jobs: Steps at a time; 0: as many as a cluster has room for.
        threads: Threads of each step; 0: as many as torch takes.
        limits: Of each step.
        address: Of a Ray cluster.
        options: For sbatch.
    """

    kind: PoolKind = PoolKind.INLINE
    jobs: int = 1
    threads: int = 0
    limits: Limits = Limits()
    address: str = "auto"
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def elsewhere(self) -> bool:
        """Whether steps are computed on other machines, with other devices than this one's."""
        return self.kind in (PoolKind.RAY, PoolKind.SLURM)

    def device(self, wanted: str) -> str:
        """Where steps are computed that are computed elsewhere: on a GPU, where a cluster is known to have one."""
        if wanted != "auto":
            return wanted
        if self.kind is PoolKind.RAY:
            from unveil.harness.running.ray_pool import gpus  # noqa: PLC0415 (an extra)

            return "cuda" if gpus(self.address) else "cpu"
        return "cpu"

    def opened(self, folder: Path) -> AbstractContextManager[Pool]:
        """The pool, until the block ends; what is running then is stopped, at a checkpoint where that comes soon.

        Args:
            folder: Of the store, for what others must find there; the current one, where the store is no folder.
        """
        if self.kind is PoolKind.PROCESSES:
            from unveil.harness.running.processes import ProcessPool  # noqa: PLC0415 (whoever computes here needs none)

            return ProcessPool(self.jobs, self.threads, self.limits)
        if self.kind is PoolKind.RAY:
            from unveil.harness.running.ray_pool import RayPool  # noqa: PLC0415 (an extra)

            return RayPool(self.address, self.jobs, self.threads, self.limits)
        if self.kind is PoolKind.SLURM:
            from unveil.harness.running.slurm_pool import Slurm, SlurmPool  # noqa: PLC0415 (an extra)

            return SlurmPool(folder / "slurm", self.jobs, self.threads, self.limits, self.options, Slurm())
        return nullcontext(InlinePool())


def pooling(
    kind: str | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    limits: Limits = Limits(),
    address: str | None = None,
    options: Sequence[str] = (),
) -> Pooling:
    """What is asked for, filled in.

    Args:
        kind: ``inline``, ``processes``, ``ray`` or ``slurm``; None: processes for more than one job, and where steps
            have limits.
        jobs: Steps at a time; None: one inline, else one for each GPU, or for each core where there is none; on Ray,
            twice as many as it has room for.
        threads: Threads for all of them together, and of each on Ray and Slurm; None: the cores of this machine, unless
            OMP_NUM_THREADS says how many a process may have, and one on Ray and Slurm.
        limits: Of each step.
        address: Of a Ray cluster; None: the one of this machine.
        options: ``name=value`` for sbatch.

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
    for name, given, owner in (("address", address, PoolKind.RAY), ("slurm", options, PoolKind.SLURM)):
        if given and which is not owner:
            raise PlanError(f"--{name} with the pool {which}", f"--pool {owner}", "add it, or leave the option out")
    if which is PoolKind.INLINE:
        if apart:
            what = "limits for a step" if limits else f"{jobs} jobs"
            raise PlanError(f"{what} in the pool {kind!r}", "a pool of processes for that", "take the pool processes")
        return Pooling(which, 1, processors.alone(threads))
    if which is PoolKind.RAY:
        return Pooling(which, jobs or 0, threads or 1, limits, address or "auto")
    if which is PoolKind.SLURM:
        return Pooling(which, jobs or QUEUED, threads or 1, limits, options=_options(options))
    jobs = jobs or (1 if kind is None else _gpus() or processors.cores())
    return Pooling(which, jobs, processors.share(jobs, threads), limits)


def _options(given: Sequence[str]) -> dict[str, str]:
    for one in given:
        if not all(one.partition("=")):
            raise PlanError(f"--slurm {one!r}", "a name and a value, such as partition=gpu", "correct it")
    return {name: value for name, _, value in (one.partition("=") for one in given)}


def _gpus() -> int:
    import torch  # noqa: PLC0415 (takes seconds)

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
