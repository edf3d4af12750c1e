"""A pool of processes on this machine. One that dies is a failed step and no more."""

from __future__ import annotations

import builtins
import json
import logging
import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Outcome, Surroundings, describe
from unveil.harness.running.interrupts import PATIENCE, TO_WORKERS, WAITING, signals_held
from unveil.harness.running.limits import Limits
from unveil.harness.running.pools import Work
from unveil.harness.running.processors import patience
from unveil.harness.running.resources import Needs
from unveil.harness.words.errors import PlanError, UnveilError
from unveil.harness.words.run import Bar, Progress, Silent

log = logging.getLogger("unveil")
LOOK = 0.5  # seconds between two looks at a worker that says nothing
END = 5.0  # seconds that a worker without work is given to end
# Nothing of the program that calls is imported there: it may have no "if __name__" around what it does.
BEGIN = """
import json, sys
sys.path[:], told = json.loads(sys.argv[1])
from unveil.harness.running.worker import serve
serve(**told)
"""


@dataclass
class _Task:
    """A step that a worker is at; ``own`` is since when its time counts, which that of waiting does not."""

    future: Future[Outcome]
    shown: Progress
    began: float = field(default_factory=time.monotonic)
    own: float = math.inf
    bars: dict[int, Bar] = field(default_factory=dict)


class Worker:
    """One process, and the thread that listens to it.

    Args:
        number: Of the worker.
        threads: Threads that it computes with; 0: as many as torch takes.
        limits: Of each step.
        warned: Called with a warning that is shown there, as `warnings.showwarning` is.
    """

    def __init__(self, number: int, threads: int, limits: Limits, warned: Callable[..., None]) -> None:
        self.task: _Task | None = None
        self._ended, self._ending, self._warned = False, threading.Lock(), warned
        self._limits, self._looked, self._broke = limits, 0.0, None
        ours, theirs = socket.socketpair()
        with theirs, signals_held():
            self.process = _start(theirs.fileno(), number, threads)
        self._pipe = Connection(ours.detach())
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    _broke: UnveilError | None

    @property
    def usable(self) -> bool:
        """Whether it can be sent a step."""
        return self.task is None and self.process.poll() is None

    def begin(self, task: _Task, packed: bytes) -> None:
        """Sends it a step."""
        with self._ending:
            self.task = task
            if self._ended:  # just now
                self._die()
                return
        with suppress(OSError):  # it is dying, and the listener finds out
            self._pipe.send_bytes(packed)

    def end(self, patience: float) -> None:
        """Waits until it has ended, and kills it if that takes too long.

        Raises:
            KeyboardInterrupt: If a signal comes meanwhile.
        """
        try:
            self._listener.join(patience)
        finally:
            if self._listener.is_alive():
                self.process.kill()
            self._listener.join()

    def dismiss(self) -> None:
        """Tells it that there is no more work."""
        with suppress(OSError):
            self._pipe.send_bytes(b"")

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while self.process.poll() is None or self._pipe.poll(0):
                self._watch()
                if self._pipe.poll(LOOK):
                    what, *told = self._pipe.recv()
                    self._hear(what, told)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END)
        self.process.kill()  # does nothing to one that has ended
        self.process.wait()
        with self._ending:
            self._ended = True
            self._pipe.close()
            if self.process.stdin:
                self.process.stdin.close()
            self._die()

    def _watch(self) -> None:
        """Ends the process when its step is over a limit."""
        now, task = time.monotonic(), self.task
        if not self._limits or not task or now - self._looked < LOOK:
            return
        self._looked = now
        self._broke = self._limits.broken(self.process.pid, now - task.own)
        if self._broke:
            self.process.kill()

    def _die(self) -> None:
        if self.task:
            error = self._broke or _death(self.process.wait())
            self._settle(Outcome("failed", describe(error), time.monotonic() - self.task.began))

    def _hear(self, what: str, told: list[Any]) -> None:
        if what == "ended":
            self._settle(*told)
            return
        try:
            _REPORTS[what](self, *told)
        except Exception as error:  # of a screen: as in a step that shows its progress itself
            self._settle(error)

    def _settle(self, found: Outcome | Exception) -> None:
        if (task := self.task) is None:
            return
        self.task = None
        for bar in task.bars.values():
            task.shown.stop(bar)
        if isinstance(found, Exception):
            task.future.set_exception(found)
        else:
            task.future.set_result(found)

    def _count(self, own: bool) -> None:
        if self.task:
            self.task.own = time.monotonic() if own else math.inf

    def _start_bar(self, number: int, label: str, total: int) -> None:
        if self.task:
            self.task.bars[number] = self.task.shown.start(label, total)

    def _advance(self, number: int, steps: int, values: dict[str, float]) -> None:
        if self.task and number in self.task.bars:
            self.task.bars[number].advance(steps, **values)

    def _stop_bar(self, number: int) -> None:
        if self.task and number in self.task.bars:
            self.task.shown.stop(self.task.bars.pop(number))

    def _log(self, name: str, level: int, text: str) -> None:
        logging.getLogger(name).log(level, "%s", text)

    def _print(self, name: str, text: str) -> None:
        if (stream := getattr(sys, name)) is not None:
            stream.write(text)
            stream.flush()

    def _warn(self, text: str, category: str, filename: str, line: int) -> None:
        self._warned(text, getattr(builtins, category, UserWarning), filename, line)


_REPORTS: dict[str, Callable[..., None]] = {
    "counts": Worker._count,
    "start": Worker._start_bar,
    "advance": Worker._advance,
    "stop": Worker._stop_bar,
    "log": Worker._log,
    "print": Worker._print,
    "warning": Worker._warn,
}


class ProcessPool:
    """Computes in processes of this machine, each of which takes one step after the other.

    Args:
        jobs: Most processes; they are started when there is work for them.
        threads: Threads of each.
        limits: Of each step.

    Raises:
        PlanError: Where processes cannot be started as it takes.
    """

    def __init__(self, jobs: int, threads: int = 0, limits: Limits = Limits()) -> None:
        if os.name != "posix":
            raise PlanError(f"a pool of processes on {sys.platform}", "Linux or macOS", "take the pool inline")
        self.jobs, self.threads, self.limits = jobs, threads, limits
        self._workers: dict[int, Worker] = {}
        self._shown = set[tuple[str, str, int]]()

    def __enter__(self) -> ProcessPool:
        return self

    def room(self, needs: Needs) -> bool:  # noqa: ARG002 (each of them may do anything)
        """Whether one of them is free."""
        return sum(worker.task is not None for worker in self._workers.values()) < self.jobs

    def submit(self, work: Work, node: Node, around: Surroundings) -> Future[Outcome]:
        """Starts ``work(node, around)`` in a process that is free, or a new one."""
        packed = pickle.dumps((work, node, replace(around, shown=Silent(), threads=self.threads)))
        return self.send(packed, around.shown)

    def send(self, packed: bytes, shown: Progress) -> Future[Outcome]:
        """The same, of what is packed already, with its progress shown here."""
        future: Future[Outcome] = Future()
        self._free().begin(_Task(future, shown), packed)
        return future

    def _free(self) -> Worker:
        for worker in self._workers.values():
            if worker.usable:
                return worker
        free = (n for n in range(self.jobs) if n not in self._workers or self._workers[n].task is None)  # or has died
        number = next(free)
        worker = self._workers[number] = Worker(number, self.threads, self.limits, self._warn)
        return worker

    def _warn(self, text: str, category: type[Warning], filename: str, line: int) -> None:
        """Shows a warning once, whichever of them it comes from."""
        if (text, filename, line) not in self._shown:
            self._shown.add((text, filename, line))
            warnings.showwarning(text, category, filename, line)

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        working = [worker for worker in self._workers.values() if worker.task is not None]
        for worker in self._workers.values():
            worker.dismiss()
        for worker in working:
            worker.process.send_signal(TO_WORKERS)
        if working and kind is KeyboardInterrupt:
            log.warning(WAITING)
        over = time.monotonic() + (PATIENCE if working else END)
        try:
            for worker in self._workers.values():
                worker.end(max(0.0, over - time.monotonic()))
        finally:
            for worker in self._workers.values():
                worker.end(0)


def _start(descriptor: int, number: int, threads: int) -> subprocess.Popen[bytes]:
    root = logging.getLogger()
    loggers = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    levels = {one.name: one.level for one in loggers if one.level}
    told = {"descriptor": descriptor, "number": number, "levels": {"": root.level, **levels}}
    options = [f"-W{option}" for option in sys.warnoptions]
    command = [sys.executable, "-P", *options, "-c", BEGIN, json.dumps([sys.path, told])]
    own = {**patience(), **({"OMP_NUM_THREADS": str(threads)} if threads else {})}  # read once, when torch is loaded
    return subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[descriptor], env={**os.environ, **own})


def _death(code: int) -> UnveilError:
    """How a process ended in the middle of a step, in words."""
    todo = "look at what the step needs; the next run tries it again, from its last checkpoint"
    if code >= 0:
        return UnveilError(f"its worker ended with exit status {code}", "a step that returns", todo)
    name = signal.Signals(-code).name if -code in list(signal.Signals) else "a signal"
    why = ", as the system does where memory runs out" if -code == signal.SIGKILL else ""
    return UnveilError(f"its worker was killed by {name} (signal {-code}){why}", "a step that returns", todo)
