"""How a command ends that cannot do what was asked: in words, with a status, and never with a traceback."""

from __future__ import annotations

import errno
import functools
import os
import tempfile
import traceback
from collections.abc import Callable
from json import JSONDecodeError
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer
from pydantic import ValidationError

from unveil.cli.streams import answers_alone
from unveil.cli.terminal import errors
from unveil.harness.words.errors import UnveilError

P = ParamSpec("P")
T = TypeVar("T")
WRONG, BUG, INTERRUPTED = 2, 3, 130  # statuses; 0 and 1 are what a command that ran to its end has to say
TODO = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EACCES: "choose a place that you may read and write, or change its permissions",
    errno.EPERM: "choose a place that you may read and write, or change its permissions",
    errno.EROFS: "choose a place that can be written",
    errno.ENOENT: "correct the path",
    errno.ENOTDIR: "correct the path: a part of it is a file and no folder",
    errno.EISDIR: "correct the path: it is a folder and no file",
    errno.EEXIST: "correct the path, or take away what is there",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n) and run the same command again",
}


def in_words(command: Callable[P, T]) -> Callable[P, T]:
    """A command that tells whatever stops it in words and ends with the status that fits."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            os.getcwd()  # a library that is loaded without one may end the process
            with answers_alone():
                return command(*args, **kwargs)
        except typer.Exit:
            raise
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raise typer.Exit(tell(error)) from error

    return told


def tell(error: BaseException) -> int:
    """Says what stopped a command, and returns the status that it ends with."""
    if isinstance(error, KeyboardInterrupt):
        say = "interrupted: what was computed is kept; run the same command again to go on"
        errors().print(say, style="yellow", soft_wrap=True)
        return INTERRUPTED
    status = BUG
    if isinstance(error, UnveilError):
        status, text = WRONG, str(error)
    elif isinstance(error, OSError):
        status, text = WRONG, str(_of_system(error))
    elif isinstance(error, UnicodeError | JSONDecodeError | ValidationError):
        status, text = WRONG, str(_of_content(error))
    elif isinstance(error, MemoryError):
        what, todo = "there is not enough memory", "make room, or ask for less, and run the same command again"
        status, text = WRONG, str(UnveilError(what, todo=todo))
    else:
        text = str(_of_nobody(error))
    errors().print(f"error: {text}", style="red", soft_wrap=True)
    return status


def _of_system(error: OSError) -> UnveilError:
    """What the operating system refused, and what can be done about it."""
    if error.errno == errno.ENOENT and not os.path.isabs(error.filename or "") and not _here():
        return UnveilError("the current folder has been deleted", "a folder that exists", "cd into one")
    places = [repr(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    where = " -> ".join(places)
    reason = error.strerror or str(error) or type(error).__name__
    todo = TODO.get(error.errno or 0, "see to it, and run the same command again; what was computed is kept")
    return UnveilError(f"{where}: {reason}" if where else f"{reason} ({_place(error)})", todo=todo)


def _of_content(error: ValueError) -> UnveilError:
    """A file that holds something else than it should."""
    said = " ".join(str(error).split())[:300]
    return UnveilError(
        f"a file holds something else than it should: {said} ({_place(error)})",
        todo="if it is the store's, run the plan again, which writes it anew; if it is yours, correct it",
    )


def _of_nobody(error: BaseException) -> UnveilError:
    """What nobody foresaw, with a file that holds all that is needed to find it."""
    kept = _keep("".join(traceback.format_exception(error)))
    report = f"report it with {kept}" if kept else "report it"
    return UnveilError(
        f"this is a bug in unveil or in a plugin: {type(error).__name__}: {error} ({_place(error)})",
        todo=f"{report}; what was computed is kept, and the same command goes on from there",
    )


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "place unknown"


def _keep(text: str) -> str:
    """Writes it among the temporary files, and returns where; nothing if that fails, too."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="unveil-", suffix=".log", text=True)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return ""
    return name


def _here() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False
