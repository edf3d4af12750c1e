"""Ctrl-C, and SIGTERM as queues send it: once, a step goes on to its next checkpoint; twice, it ends where it is."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("unveil")
PATIENCE = 20.0  # seconds that a step is given to reach a checkpoint; Slurm kills 30 s after its SIGTERM
TO_WORKERS = getattr(signal, "SIGUSR1", signal.SIGINT)  # a pool's own, so that a signal to a whole group counts once
SIGNALS = (signal.SIGINT, signal.SIGTERM, TO_WORKERS)
WAITING = f"interrupted: each step is given {PATIENCE:.0f} s to save a checkpoint; once more, and all ends now"


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Lets the step in the block reach its next checkpoint before a signal ends it.

    Only signals are deferred that would raise KeyboardInterrupt: whoever has chosen otherwise keeps that.

    Yields:
        Whether the step should save a checkpoint and raise KeyboardInterrupt.

    Raises:
        KeyboardInterrupt: At the end, if a signal came; before, if a second one did or patience has run out.
    """
    main = threading.current_thread() is threading.main_thread()  # only there can handlers be set, and do they run
    ours = [s for s in SIGNALS if main and signal.getsignal(s) is signal.default_int_handler]
    asked, over = threading.Event(), threading.Event()

    def patience(number: int) -> None:
        if number != TO_WORKERS:  # else the pool says it for all of them
            log.warning(WAITING)
        if not over.wait(PATIENCE):
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (as signal calls it)
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        threading.Thread(target=patience, args=[number], daemon=True).start()  # a handler must wait for no lock

    for number in ours:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        over.set()
        for number in ours:
            signal.signal(number, signal.default_int_handler)
        if asked.is_set():
            raise KeyboardInterrupt


@contextmanager
def signals_held() -> Iterator[None]:
    """Keeps signals from a process that begins in the block, until it can take them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
