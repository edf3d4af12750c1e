"""Files on a local disk: written so that a power loss leaves the old or the new one, and set aside when unreadable."""

from __future__ import annotations

import errno
import logging
import os
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from threading import Lock

from unveil.harness.words.errors import StoreError

log = logging.getLogger(__name__)
FULL = (errno.ENOSPC, errno.EDQUOT)


def write(path: Path, data: bytes) -> None:
    """Replaces a file, or makes it, in such an order that after a power loss it is the old or the new one, whole.

    Raises:
        OSError: If the disk is full or the place cannot be written; what was there before is still there.
    """
    _folder(path.parent)
    part = path.with_name(f"{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move_in(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def move_in(part: Path, path: Path) -> None:
    """Gives a file that was written and synchronised its name, for good.

    Raises:
        OSError: If the place cannot be written.
    """
    _folder(path.parent)
    part.replace(path)
    _sync(path.parent)


def _folder(path: Path) -> None:
    if not path.is_dir():
        _folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """Makes new names in a folder last; where folders cannot be synchronised, the system does it in its own time."""
    if os.name != "posix":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Turns what a disk may refuse into words.

    Args:
        what: What cannot be written then, such as ``the store at runs``.

    Raises:
        StoreError: If the disk is full or cannot be written.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        raise StoreError(
            f"{what} cannot be written: {'no space left' if full else error}",
            "room for what is written next" if full else "a place that can be written",
            f"{'free some space' if full else 'see to that'} and run the same command again; "
            "what was computed before is kept",
        ) from error


class Handle:
    """An open file that is closed when nobody needs it any more.

    Args:
        file: Opened for reading, and for writing where something is written.
    """

    def __init__(self, file: BufferedReader | BufferedRandom) -> None:
        self.file, self.lock = file, Lock()
        weakref.finalize(self, file.close)


@dataclass(frozen=True)
class Disk:
    """A folder whose files may be damaged from outside.

    Attributes:
        root: The folder. Its own folder ``aside`` takes what cannot be read.
    """

    root: Path

    def write(self, path: Path, data: bytes) -> None:
        """As `write`, after the way was cleared.

        Raises:
            StoreError: If the disk is full or cannot be written.
        """
        self.clear(path)
        with in_words(f"{path.name} in {path.parent}"):
            write(path, data)

    def fetch(self, folder: Path) -> None:
        """Makes a folder here what it is where it is kept: nothing to do where that is here.

        Raises:
            StoreError: If it cannot be read there, or not written here.
        """

    def clear(self, path: Path) -> None:
        """Sets aside what keeps a file from being written: a folder of its name, or a file where a folder is due.

        Raises:
            StoreError: If it cannot be moved.
        """
        for folder in reversed(path.parents):
            if self.root in folder.parents and os.path.lexists(folder) and not folder.is_dir():
                self.set_aside(folder, "is no folder")
        if path.is_dir():
            self.set_aside(path, "is a folder")

    def set_aside(self, path: Path, why: str) -> None:
        """Moves what cannot be used to where nobody looks for it, and says so; nothing is deleted.

        Args:
            path: A file or folder under the root.
            why: What is wrong with it, to follow its name.

        Raises:
            StoreError: If it cannot be moved.
        """
        name = path.relative_to(self.root)
        with in_words(f"{name} in {self.root} {why}, and where it should go"):
            aside = _free(self.root / "aside" / name)
            _folder(aside.parent)
            try:
                path.rename(aside)
            except FileNotFoundError:  # another run was faster
                return
        log.warning("%s %s: set aside as %s", path, why, aside)


def _free(path: Path) -> Path:
    """A name that is not taken yet."""
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free
