"""A pool on a Ray cluster. The only place that knows Ray."""

from __future__ import annotations

import logging
import math
import signal
import socket
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from unveil.harness.plan.node import Node
from unveil.harness.running.errand import Errand, Place, pack, result, wants_gpu
from unveil.harness.running.execute import Outcome, Surroundings, describe
from unveil.harness.running.interrupts import PATIENCE, WAITING
from unveil.harness.running.limits import GIGABYTE, Limits
from unveil.harness.running.pools import Work
from unveil.harness.running.resources import Needs
from unveil.harness.words.errors import PlanError, UnveilError

log = logging.getLogger("unveil")
RETRIES = 3  # times that a step is sent again whose machine was lost
QUEUED = 2  # steps for each that runs: a cluster that grows must see that more are waiting
KNOCK = 10.0  # seconds that an address is given to answer
FEWEST = 8  # steps at a time, where a cluster is small still


class RayPool:
    """Computes on a cluster that runs already.

    Args:
        address: Of the cluster; ``auto``: the one of this machine.
        jobs: Most steps that are running or queued there; 0: twice as many as the cluster has room for.
        threads: Processors, and threads, of each step.
        limits: Of each step.

    Raises:
        PlanError: If Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str, jobs: int, threads: int, limits: Limits) -> None:
        self.ray = _ray()
        self._ours = _connect(self.ray, address)
        self.threads, self.limits = threads, limits
        there = self.ray.cluster_resources().get("CPU", 0.0)
        self.jobs = jobs or max(FEWEST, QUEUED * math.floor(there / threads))
        self._place = Place.here(threads, limits)
        self._running: dict[Any, Future[Outcome]] = {}
        self._run = self.ray.remote(max_retries=RETRIES, retry_exceptions=False)(_run)

    def __enter__(self) -> RayPool:
        return self

    def room(self, needs: Needs) -> bool:  # noqa: ARG002 (Ray finds the place)
        """Whether one more may be queued."""
        return sum(not future.done() for future in self._running.values()) < self.jobs

    def submit(self, work: Work, node: Node, around: Surroundings) -> Future[Outcome]:
        """Starts ``work(node, around)`` where there are free processors, and a GPU if it wants one."""
        self._running = {sent: future for sent, future in self._running.items() if not future.done()}
        future: Future[Outcome] = Future()
        options: dict[str, Any] = {
            "num_cpus": self.threads,
            "num_gpus": int(wants_gpu(node, around)),
            "name": node.label,
        }
        if self.limits.gigabytes:
            options["memory"] = int(self.limits.gigabytes * GIGABYTE)
        sent = self._run.options(**options).remote(pack(work, node, around, self._place))
        self._running[sent] = future
        sent.future().add_done_callback(lambda done: _settle(done, future))
        return future

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        left = [sent for sent, future in self._running.items() if not future.done()]
        try:
            for sent in left:
                self.ray.cancel(sent, force=False, recursive=False)
            if left and kind is KeyboardInterrupt:
                log.warning(WAITING)
            if left:
                self.ray.wait(left, num_returns=len(left), timeout=PATIENCE)
        finally:
            for sent in left:
                self.ray.cancel(sent, force=True, recursive=False)
            if self._ours:
                self.ray.shutdown()


def gpus(address: str) -> float:
    """How many a cluster has.

    Raises:
        PlanError: As `RayPool`.
    """
    ray = _ray()
    ours = _connect(ray, address)
    try:
        return float(ray.cluster_resources().get("GPU", 0.0))
    finally:
        if ours:
            ray.shutdown()


def _run(errand: Errand) -> bytes:
    return errand.run()


def _settle(done: Future[bytes], future: Future[Outcome]) -> None:
    """Settles a step's future, in a thread of Ray's."""
    error = done.exception()
    if error is None:
        result(done.result(), future)
        return
    what = " ".join(str(error).split())[:300] or "no reason given"
    lost = UnveilError(
        f"its worker was lost, and so were those that tried again ({type(error).__name__}: {what})",
        f"a cluster that keeps a step until it ends, at the {RETRIES + 1}th time at the latest",
        "look at the cluster; the next run goes on from the last checkpoint",
    )
    future.set_result(Outcome("failed", describe(lost)))


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 (takes seconds, and is an extra)
    except ImportError as error:
        raise PlanError("the pool ray needs Ray, which is not installed", "it", "pip install 'unveil[ray]'") from error
    return ray


def _knock(address: str) -> None:
    """Tries whether somebody listens: Ray itself would try for minutes.

    Raises:
        OSError: If nobody does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK).close()


def _connect(ray: Any, address: str) -> bool:
    """Connects to a cluster, unless somebody has already; whether it was done here."""
    if ray.is_initialized():
        return False
    before = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=True, configure_logging=False)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray aborts the process there
    except Exception as error:  # of many kinds, for an address that is none and for a cluster of another version
        what = " ".join(str(error).split())[:300]
        raise PlanError(
            f"no Ray cluster at {address!r}: {what}",
            "a cluster that runs",
            "start one (`ray start --head`), or name it with --address",
        ) from error
    return True
