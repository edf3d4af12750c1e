"""Standard output and error that lose nothing: whatever they are connected to, and whatever they can show."""

from __future__ import annotations

import io
import logging
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import IO

from unveil.harness.words.errors import OutputError

LAX = ("replace", "ignore", "backslashreplace", "xmlcharrefreplace", "namereplace")  # handlers that somebody chose


class _Outlet(io.FileIO):
    """The file behind a standard stream, which goes quiet when nobody can read it any more."""

    def __init__(self, descriptor: int, required: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.required = required

    def write(self, data: object) -> int:
        """Writes; a reader that went away has read enough, and is no reason to stop computing.

        Raises:
            OutputError: If answers cannot be written, for instance because the disk is full.
        """
        try:
            while (written := super().write(data)) is None:  # type: ignore[arg-type]
                select.select([], [self], [])  # somebody set it to non-blocking
            return written
        except OSError as error:
            self._mute()
            if self.required and not isinstance(error, BrokenPipeError):
                raise OutputError(
                    f"the answer cannot be written to standard output: {error.strerror}",
                    "a terminal, a pipe, or a file on a disk with room",
                    "run the same command again with another; what was computed is kept",
                ) from error
            return len(memoryview(data).cast("B"))  # type: ignore[arg-type]

    def _mute(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


class _Own:
    """Standard output, when it is the process's own."""

    answers: io.TextIOWrapper | None = None


_own = _Own()


def answers() -> IO[str] | None:
    """Where answers go, whoever prints what besides; None if there is no such place."""
    return _own.answers or sys.stdout


@contextmanager
def answers_alone() -> Iterator[None]:
    """Sends what plugins and libraries print to standard error, so that answers can be parsed."""
    if _own.answers is None:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def open_streams() -> None:
    """Makes the process's own standard streams such that no name, error or reader can break a command."""
    logging.raiseExceptions = False  # a log line that cannot be written is not worth a traceback
    _occupy()
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _own.answers = _stream(os.dup(1), sys.stdout, required=True)
        os.dup2(2, 1)  # what a library or a child process writes there is no answer
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _stream(2, sys.stderr, required=False)


def _occupy() -> None:
    """Puts nothing where a standard stream was closed, so that no file of the store gets its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _stream(descriptor: int, old: IO[str] | None, required: bool) -> io.TextIOWrapper:
    errors = getattr(old, "errors", None)
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(descriptor, required)),
        encoding=getattr(old, "encoding", None) or "utf-8",
        errors=errors if errors in LAX else "backslashreplace",  # \u4eba is better than no answer
        line_buffering=descriptor == 2 or os.isatty(descriptor),
    )
