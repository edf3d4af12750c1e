"""A pool of Slurm jobs, one for each step. The only place that knows submitit."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from unveil.harness.plan.node import Node
from unveil.harness.running.errand import Errand, Place, pack, result, stop_on_sigterm, wants_gpu
from unveil.harness.running.execute import Outcome, Surroundings, describe
from unveil.harness.running.interrupts import PATIENCE, WAITING
from unveil.harness.running.limits import Limits
from unveil.harness.running.pools import Work
from unveil.harness.running.resources import Needs
from unveil.harness.words.errors import PlanError, UnveilError

log = logging.getLogger("unveil")
LOOK = 0.5  # seconds between two looks for results
ASK = 10.0  # seconds between two questions to the queue
LATE = 15.0  # seconds that a result may need to be seen from another machine
MINUTES = 240  # of a job, where steps have no limit; one that needs more begins again, from its last checkpoint
TIMES = 1000  # that it may do so
MARGIN = 5  # minutes that a job has beyond the limit of its step
SHIM = 2  # gigabytes that it has beyond it
GPU = {"gpus_per_node": 1}
LAST = 300  # characters of a job's complaints that are shown
WAITS = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "STAGE_OUT")


class SlurmErrand:
    """A step as submitit runs it.

    Args:
        errand: The step.
    """

    def __init__(self, errand: Errand) -> None:
        self.errand = errand

    def __call__(self) -> bytes:
        """Computes it; SIGTERM, as Slurm sends it before it kills, lets it save a checkpoint first."""
        stop_on_sigterm()
        return self.errand.run()

    def checkpoint(self) -> Any:
        """What submitit should queue again when the job's time is up: the same, which goes on from its checkpoint."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 (there, it is loaded)

        self.errand.stop()
        return DelayedSubmission(self)


class SlurmPool:
    """Computes in the jobs of a queue.

    Args:
        folder: Where jobs and their logs lie; on a disk that all machines share.
        jobs: Most jobs that are running or queued.
        threads: Processors, and threads, of each.
        limits: Of each.
        options: What else sbatch should know, such as ``partition``.
        queue: Which.

    Raises:
        PlanError: If submitit is not installed, there is no Slurm, or it knows no such option.
    """

    def __init__(
        self, folder: Path, jobs: int, threads: int, limits: Limits, options: Mapping[str, str], queue: Queue
    ) -> None:
        self.folder, self.jobs, self.queue = folder, jobs, queue
        plain = {name: int(value) if value.isdecimal() else value for name, value in options.items()}
        minutes = math.ceil(limits.minutes) + MARGIN if limits.minutes else MINUTES
        memory = {"mem": f"{math.ceil(limits.gigabytes) + SHIM}GB"} if limits.gigabytes else {}
        told = {"job_name": "unveil", "cpus_per_task": threads, "time": minutes, **memory, **plain}
        self._executors = {gpu: queue.executor(folder, {**told, **GPU} if gpu else told) for gpu in (False, True)}
        self._place = Place.here(threads, limits)
        self._running: dict[Future[Outcome], _Job] = {}
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> SlurmPool:
        self._watcher.start()
        return self

    def room(self, needs: Needs) -> bool:  # noqa: ARG002 (the queue finds the place)
        """Whether one more may be queued."""
        return len(self._left()) < self.jobs

    def submit(self, work: Work, node: Node, around: Surroundings) -> Future[Outcome]:
        """Queues ``work(node, around)``."""
        future: Future[Outcome] = Future()
        errand = SlurmErrand(pack(work, node, around, self._place))
        try:
            job = self._executors[wants_gpu(node, around)].submit(errand)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            told = " ".join(str(error).split())[:LAST]
            future.set_exception(UnveilError(f"the queue takes no job: {told}", "one that does", "see to the queue"))
            return future
        self._running[future] = _Job(job)
        return future

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        left = self._left()
        try:
            for job in left:
                self.queue.stop(job.job)
            if left and kind is KeyboardInterrupt:
                log.warning(WAITING)
            over = time.monotonic() + PATIENCE
            while time.monotonic() < over and self.queue.there([job.job for job in left]):
                time.sleep(LOOK)
        finally:
            self._over.set()
            self._watcher.join()
        for job in left:
            job.clear()

    def _left(self) -> list[_Job]:
        return [job for future, job in list(self._running.items()) if not future.done()]

    def _watch(self) -> None:
        """Settles futures, until the pool is closed."""
        asked = time.monotonic()
        while not self._over.wait(LOOK):
            left = {future: job for future, job in list(self._running.items()) if not future.done()}
            if time.monotonic() - asked >= ASK and left:
                there = self.queue.there([job.job for job in left.values()])
                for job in left.values():
                    job.note(job.job.job_id in there)
                asked = time.monotonic()
            for future, job in left.items():
                job.settle(future)
                if future.done():
                    del self._running[future]


class _Job:
    """One that was queued.

    Args:
        job: submitit's.
    """

    def __init__(self, job: Any) -> None:
        self.job, self.gone = job, 0.0

    def note(self, there: bool) -> None:
        """Whether the queue knew of it just now."""
        self.gone = 0.0 if there else self.gone or time.monotonic()

    def settle(self, future: Future[Outcome]) -> None:
        """Gives a result on, if there is one, or says that there will be none."""
        if self.job.paths.result_pickle.exists():
            try:
                result(self.job.result(), future)
            except Exception as error:  # whatever stopped it before the step began
                future.set_result(self._lost(" ".join(str(error).split())[-LAST:]))
                return
            self.clear()
        elif self.gone and time.monotonic() - self.gone > LATE:
            future.set_result(self._lost(" ".join((self.job.stderr() or "it said nothing").split())[-LAST:]))

    def clear(self) -> None:
        """Removes its files; those of one that failed may be looked at."""
        for file in self.job.paths.folder.glob(f"{self.job.job_id}_*"):
            file.unlink(missing_ok=True)

    def _lost(self, told: str) -> Outcome:
        error = UnveilError(
            f"its job {self.job.job_id} ended without a result: {told}",
            "a job that runs to its end",
            f"look at {self.job.paths.stderr}; the next run goes on from the last checkpoint",
        )
        return Outcome("failed", describe(error))


class Queue(Protocol):
    """Where jobs are queued."""

    def executor(self, folder: Path, options: Mapping[str, Any]) -> Any:
        """Submitit's executor.

        Raises:
            PlanError: If there is no such queue, or it knows no such option.
        """
        ...

    def there(self, jobs: Sequence[Any]) -> set[str]:
        """Ids of those that are running or will; of all, where the queue does not say."""
        ...

    def stop(self, job: Any) -> None:
        """Sends SIGTERM, and takes it out of the queue."""
        ...


class Slurm:
    """The queue of a cluster."""

    def executor(self, folder: Path, options: Mapping[str, Any]) -> Any:
        """As `Queue`."""
        submitit = _submitit()
        if shutil.which("sbatch") is None:
            raise PlanError("there is no sbatch here", "a machine of a Slurm cluster", "log in to one")
        made = submitit.SlurmExecutor(folder, max_num_timeout=TIMES)
        try:
            made.update_parameters(**options)
        except (ValueError, TypeError) as error:
            raise PlanError(f"an option of --slurm: {error}", "what sbatch knows", "correct it") from error
        return made

    def there(self, jobs: Sequence[Any]) -> set[str]:
        """As `Queue`."""
        ids = {job.job_id for job in jobs}
        command = ["squeue", "--noheader", "--format=%i %T", f"--jobs={','.join(sorted(ids))}"]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            return ids
        if asked.returncode and "Invalid job id" not in asked.stderr:
            return ids  # the controller does not answer: it will
        return {name for name, state in map(str.split, asked.stdout.splitlines()) if state in WAITS}

    def stop(self, job: Any) -> None:
        """As `Queue`."""
        with suppress(subprocess.SubprocessError):
            job.cancel()


class LocalQueue:
    """Processes of this machine that are started as jobs are."""

    def executor(self, folder: Path, options: Mapping[str, Any]) -> Any:
        """As `Queue`."""
        made = _submitit().LocalExecutor(folder, max_num_timeout=TIMES)
        made.update_parameters(timeout_min=options["time"], gpus_per_node=options.get("gpus_per_node", 0))
        return made

    def there(self, jobs: Sequence[Any]) -> set[str]:
        """As `Queue`."""
        return {job.job_id for job in jobs if not job.done()}

    def stop(self, job: Any) -> None:
        """As `Queue`."""
        with suppress(ProcessLookupError):
            os.kill(int(job.job_id), signal.SIGTERM)


def _submitit() -> Any:
    try:
        import submitit  # noqa: PLC0415 (an extra)
    except ImportError as error:
        what, todo = "the pool slurm needs submitit, which is not installed", "pip install 'unveil[slurm]'"
        raise PlanError(what, "it", todo) from error
    return submitit
