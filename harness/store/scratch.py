"""Checkpoints of unfinished steps: in the store, where whoever goes on finds them, with a local copy to work on."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from unveil.harness.store.files import Files, UnreadableError
from unveil.harness.words.disk import Disk, in_words
from unveil.harness.words.errors import StoreError

log = logging.getLogger(__name__)
FOLDER = "scratch"
SHARE = 10  # sending checkpoints may take one part in so many of the time


@functools.cache
def _workplace(url: str, pid: int) -> Path:  # noqa: ARG001 (what tells one from another)
    """A folder of this process's own, for the local copies of one store; nobody else may read or prepare it."""
    folder = Path(tempfile.mkdtemp(prefix="unveil-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def disk_of(files: Files) -> Disk:
    """The local folder that checkpoints are written in: the store itself if it is one, else a copy of part of it."""
    if files.local is not None:
        return Disk(files.local)
    return Mirror(_workplace(files.url, os.getpid()), files)


@dataclass(frozen=True)
class Mirror(Disk):
    """A local folder whose files are sent to a bucket, too; not each of them at once if they are large.

    Attributes:
        files: The store's.
    """

    files: Files
    _unsent: set[str] = field(default_factory=set)
    _next: list[float] = field(default_factory=lambda: [0.0])

    def write(self, path: Path, data: bytes) -> None:
        """Writes here, and there if the last sending is long enough ago for how long it took.

        Raises:
            StoreError: If either cannot be written.
        """
        super().write(path, data)
        self._unsent.add(self._name(path))
        if time.monotonic() >= self._next[0]:
            self.send()

    def send(self) -> None:
        """Sends what was not sent yet.

        Raises:
            StoreError: If it cannot be.
        """
        begun = time.monotonic()
        for name in sorted(self._unsent):
            self.files.put(name, (self.root / name).read_bytes())
            self._unsent.discard(name)
        ended = time.monotonic()
        self._next[0] = ended + SHARE * (ended - begun)

    def fetch(self, folder: Path) -> None:
        """Makes a folder here what it is there.

        Raises:
            StoreError: If it cannot be read there, or not written here.
        """
        self.send()
        shutil.rmtree(folder, ignore_errors=True)
        for name in self.files.sizes(self._name(folder)):
            if not _inside(name):
                log.warning("%s/%s is no name of a checkpoint: left where it is", self.files.url, name)
                continue
            try:
                data = self.files.get(name)
            except UnreadableError as why:
                self.files.set_aside(name, str(why))
                continue
            if data is not None:
                super().write(self.root / name, data)

    def clear_away(self, folder: Path) -> None:
        """Removes a folder here and there.

        Raises:
            StoreError: If it cannot be removed there.
        """
        name = self._name(folder)
        self._unsent.difference_update([one for one in self._unsent if one.startswith(f"{name}/")])
        self.files.remove(list(self.files.sizes(name)))
        shutil.rmtree(folder, ignore_errors=True)

    def set_aside(self, path: Path, why: str) -> None:
        """Moves it away there, and removes the copy here.

        Raises:
            StoreError: If it cannot be moved.
        """
        name = self._name(path)
        self._unsent.discard(name)
        self.files.set_aside(name, why)
        with in_words(f"{name} in {self.root}"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _inside(name: str) -> bool:
    """Whether a name leads where it says; objects of a bucket may be called anything."""
    return "\\" not in name and ".." not in PurePosixPath(name).parts


def fetched(disk: Disk, key: str) -> Path:
    """The local folder with the checkpoints of a step, brought here if they are elsewhere.

    Raises:
        StoreError: If they cannot be read there.
    """
    folder = disk.root / FOLDER / key
    if isinstance(disk, Mirror):
        disk.fetch(folder)
    return folder


def clear_away(disk: Disk, key: str) -> None:
    """Removes the checkpoints of a step that is finished, wherever they are."""
    folder = disk.root / FOLDER / key
    if isinstance(disk, Mirror):
        disk.clear_away(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def send_what_is_left(disk: Disk) -> None:
    """Sends checkpoints that were kept back, when a step ends without a result; never a reason to fail by itself."""
    if isinstance(disk, Mirror):
        try:
            disk.send()
        except StoreError as error:
            log.warning("the last checkpoint stays behind: %s", error.what)
