"""One worker of a pool of processes, from inside: computes what it is sent, and reports all that is shown."""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, TextIO

import torch

from unveil.harness.running.execute import Outcome, describe
from unveil.harness.running.interrupts import SIGNALS, TO_WORKERS
from unveil.harness.words.errors import StoreError

OFTEN = 0.2  # seconds between two reports of a bar


class Wire:
    """What goes to the process that has the screen.

    Args:
        pipe: To it.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def send(self, what: str, *told: Any) -> None:
        """Sends one message; where nobody listens any more, the process ends."""
        try:
            with self._lock:
                self._pipe.send((what, *told))
        except OSError:
            os._exit(1)


class WiredBar:
    """A bar that moves in another process, a few times a second."""

    def __init__(self, wire: Wire, number: int) -> None:
        self.wire, self.number = wire, number
        self.steps, self.values, self.last = 0, dict[str, float](), 0.0

    def advance(self, steps: int = 1, **values: float) -> None:
        """Moves the bar on and shows the latest values beside it."""
        self.steps += steps
        self.values = values or self.values
        if time.monotonic() - self.last >= OFTEN:
            self.report()

    def report(self) -> None:
        """Sends what was not sent yet."""
        self.wire.send("advance", self.number, self.steps, self.values)
        self.steps, self.last = 0, time.monotonic()


class Wired:
    """Shows progress in another process."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.opened = wire, 0

    def start(self, label: str, total: int) -> WiredBar:
        """Opens a bar of ``total`` steps."""
        self.opened += 1
        self.wire.send("start", self.opened, label, total)
        return WiredBar(self.wire, self.opened)

    def counts(self, own: bool) -> None:
        """Tells whether the time from now on is the step's own."""
        self.wire.send("counts", own)

    def stop(self, bar: WiredBar | Any) -> None:
        """Closes it."""
        bar.report()
        self.wire.send("stop", bar.number)


class Echo(io.TextIOBase):
    """A standard stream that is printed in another process.

    Args:
        wire: To it.
        own: Descriptor of the stream that it stands for.
        name: ``stdout`` or ``stderr``.
    """

    def __init__(self, wire: Wire, own: int, name: str) -> None:
        self._wire, self._own, self._name = wire, own, name

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str) -> int:
        """Sends it on."""
        self._wire.send("print", self._name, str(text))
        return len(text)

    def fileno(self) -> int:
        """Of the stream itself, for whoever writes there directly."""
        return self._own


class _Handler(logging.Handler):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        self.wire.send("log", record.name, record.levelno, self.format(record))


def serve(descriptor: int, number: int, levels: Mapping[str, int]) -> None:
    """Computes what comes through a pipe until it is closed.

    Args:
        descriptor: The pipe's.
        number: Of the worker: it takes the GPU of that number, where there are several.
        levels: Levels of the loggers that somebody has set, by name.
    """
    _follow_signals()
    _end_with_parent()
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    wire = Wire(pipe)
    _report_to(wire, levels)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while task := pipe.recv_bytes():
            wire.send("ended", _answer(task, Wired(wire), number))


def _follow_signals() -> None:
    """Ctrl-C and SIGTERM may come to the whole group; what counts is what the process with the screen makes of it."""
    for one in SIGNALS:
        signal.signal(one, lambda *_: None)  # not SIG_IGN, which children would inherit
    signal.signal(TO_WORKERS, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # which were blocked while this process began


def _end_with_parent() -> None:
    """Nobody writes to standard input: it ends when the process at its other end does, however that ends."""
    told, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        os.read(told, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _report_to(wire: Wire, levels: Mapping[str, int]) -> None:
    """Sends on whatever is shown here: logs, warnings, and what plugins print."""
    faulthandler.enable(sys.__stderr__ or 2)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().addHandler(_Handler(wire))

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001 (as warnings calls it)
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        wire.send("warning", str(message), category.__name__, filename, lineno)

    warnings.showwarning = show
    sys.stdout, sys.stderr = Echo(wire, 1, "stdout"), Echo(wire, 2, "stderr")


def _answer(task: bytes, shown: Wired, number: int) -> Outcome | StoreError:
    """What a step came to; what is no error of the store is the step's own."""
    shown.counts(True)
    try:
        work, node, around = pickle.loads(task)  # noqa: S301 (of the process that started this one)
        node.require_same_code()
        own: Outcome = work(
            node, replace(around, shown=shown, counts=shown.counts, device=device_of(around.device, number))
        )
        return own
    except StoreError as error:
        return error
    except Exception as error:
        return Outcome("failed", describe(error))
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # for the others on this GPU


def device_of(wanted: str, number: int) -> str:
    """The device of a worker: of several GPUs the one whose turn it is, unless a certain one is wanted."""
    count = torch.cuda.device_count() if wanted == "cuda" else 0
    return f"cuda:{number % count}" if count > 1 else wanted
