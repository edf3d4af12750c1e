"""Files under a URL: read, written whole or not at all, and moved out of the way when they cannot be read."""

from __future__ import annotations

import errno
import functools
import logging
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec

from unveil.harness.words.disk import Disk, in_words, write
from unveil.harness.words.errors import StoreError

log = logging.getLogger(__name__)
AT_ONCE = 32  # requests to a server
BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
MOMENT = 1.0  # seconds that two may need to write after both have seen that nothing is there
MISSING = (FileNotFoundError, NotADirectoryError)
# of a file that is there: anything else, such as too many open files, is not the file's fault
UNREADABLE = (errno.EISDIR, errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP)


class UnreadableError(Exception):
    """A file that is there and of no use; says why, to follow its name. Never leaves the store."""


class Files:
    """Files by their paths under a folder or a URL.

    Args:
        url: As `unveil.harness.store.artefacts.Store` has it.

    Raises:
        StoreError: If nothing here can read such a URL.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = url if "://" in url else str(Path(url).resolve())
            # others write there, too: what was listed a minute ago is not what is there
            self.fs, self.root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except Exception as error:  # whatever a driver may do when it is not there, or not to its liking
            raise StoreError(
                f"the store {url!r} cannot be used: {error}",
                "a folder, or a URL whose driver is installed",
                "install the driver (s3fs for s3://, gcsfs for gs://), or name a folder",
            ) from error

    @property
    def local(self) -> Path | None:
        """The folder, if it is on a local disk."""
        return Path(self.root) if "file" in self.fs.protocol else None

    @functools.cached_property
    def _whole(self) -> bool:
        """Whether a file appears there whole or not at all, without a second name: a bucket's objects do."""
        protocols = {self.fs.protocol} if isinstance(self.fs.protocol, str) else set(self.fs.protocol)
        return bool(protocols & BUCKETS)

    def check(self) -> None:
        """Tries whether something can be written.

        Raises:
            StoreError: If not.
        """
        path = f"{self.root}/{uuid.uuid4().hex}.part"
        with self.writing():
            if self.local is None:
                self._upload(path, b"")
                self.fs.cat_file(path)  # a key that may write and not read is of no use
            elif self.local.exists() and not self.local.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder")
            else:
                write(Path(path), b"")
            self.fs.rm_file(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turns what a disk or a driver may refuse into words.

        Raises:
            StoreError: If it does.
        """
        try:
            with in_words(f"the store at {self.url}"):
                yield
        except StoreError:
            raise
        except Exception as error:  # of a driver: no right to write, no bucket, no network
            raise StoreError(
                f"the store at {self.url} cannot be written: {type(error).__name__}: {error}",
                "a place that can be written",
                "see to that and run the same command again; what was computed before is kept",
            ) from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The same where something is read.

        Raises:
            StoreError: If that cannot be done.
        """
        try:
            yield
        except (StoreError, UnreadableError):
            raise
        except Exception as error:  # no right to read, no bucket, no network
            raise StoreError(
                f"the store at {self.url} cannot be read: {type(error).__name__}: {error}",
                "a place that can be read",
                "see to that and run the same command again",
            ) from error

    def put(self, path: str, data: bytes) -> None:
        """Writes a file, whole or not at all.

        Raises:
            StoreError: If it cannot be written.
        """
        with self.writing():
            if self.local is not None:
                Disk(self.local).write(self.local / path, data)
            else:
                self._upload(f"{self.root}/{path}", data)

    def create(self, path: str, data: bytes) -> bool:
        """Writes a file that is not there yet, whole or not at all; of several who try on a bucket at once one does.

        Returns:
            Whether it was written; False if there is one.

        Raises:
            StoreError: If it cannot be written.
        """
        if not self._conditional:
            return self._create_and_look(path, data)
        with self.writing():
            try:
                self.fs.pipe_file(f"{self.root}/{path}", data, mode="create")
            except Exception as error:
                if not _refused(error):
                    raise
                return self.get(path) == data  # true if the answer to a first attempt was lost on its way
        return True

    @functools.cached_property
    def _conditional(self) -> bool:
        """Whether the server refuses to write what is there, when it is asked to: some do not know that they should."""
        if not self._whole:
            return False
        probe = f"{self.root}/{uuid.uuid4().hex}.part"
        with self.writing():
            self.fs.pipe_file(probe, b"")
            try:
                self.fs.pipe_file(probe, b"", mode="create")
            except Exception as error:  # of a driver or a server that knows no such request
                return _refused(error)
            finally:
                self.fs.rm_file(probe)
        return False

    def _create_and_look(self, path: str, data: bytes) -> bool:
        """Where nothing better is to be had: the last of those who write within a moment has it, and all see that."""
        if self.fs.exists(f"{self.root}/{path}"):
            return False
        self.put(path, data)
        if self.local is not None:
            return True
        time.sleep(MOMENT)
        return self.get(path) == data

    def _upload(self, path: str, data: bytes) -> None:
        if self._whole:
            self.fs.pipe_file(path, data)
            return
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            with self.fs.open(part, "wb") as file:
                file.write(data)
            self._move(part, path)
        except BaseException:
            if self.fs.exists(part):
                self.fs.rm_file(part)
            raise

    def _move(self, path: str, to: str) -> None:
        self.fs.cp_file(path, to)  # `mv` would take brackets in a name for a pattern
        self.fs.rm_file(path)

    def get(self, path: str) -> bytes | None:
        """What a file holds; None if there is none.

        Raises:
            UnreadableError: If what is there cannot be read.
            StoreError: If that is not its own fault: a network that fails is no damage.
        """
        with self.reading():
            try:
                return bytes(self.fs.cat_file(f"{self.root}/{path}"))
            except MISSING:
                return None
            except OSError as error:
                if self.local is not None and error.errno in UNREADABLE:
                    raise UnreadableError(f"cannot be read ({error.strerror})") from error
                raise

    def get_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """What several files hold, by path, as far as they can be read; several at a time where each takes a while."""
        with ThreadPoolExecutor(1 if self.local is not None else AT_ONCE) as pool:
            return {
                path: data for path, data in zip(paths, pool.map(self._or_none, paths), strict=True) if data is not None
            }

    def _or_none(self, path: str) -> bytes | None:
        with suppress(UnreadableError):
            return self.get(path)
        return None

    def set_aside(self, path: str, why: str) -> None:
        """Moves a file to ``aside/`` and says so; nothing is deleted.

        Args:
            path: Of the file.
            why: What is wrong with it, to follow its name.

        Raises:
            StoreError: If it cannot be moved.
        """
        if self.local is not None:
            Disk(self.local).set_aside(self.local / path, why)
            return
        aside = f"aside/{path}.{uuid.uuid4().hex[:8]}"
        with self.writing(), suppress(FileNotFoundError):  # another run was faster
            self.fs.makedirs(f"{self.root}/{aside}".rpartition("/")[0], exist_ok=True)
            self._move(f"{self.root}/{path}", f"{self.root}/{aside}")
            log.warning("%s/%s %s: set aside as %s", self.url, path, why, aside)

    def remove(self, paths: Sequence[str]) -> None:
        """Deletes files, as far as they are there; several at a time where each takes a while.

        Raises:
            StoreError: If they cannot be deleted.
        """
        with self.writing(), ThreadPoolExecutor(1 if self.local is not None else AT_ONCE) as pool:
            list(pool.map(self._remove, paths))

    def _remove(self, path: str) -> None:
        with suppress(*MISSING):
            self.fs.rm_file(f"{self.root}/{path}")

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Bytes of every file below a folder, by path, in order, from one listing.

        Raises:
            StoreError: If it cannot be listed.
        """
        if self.local is not None:
            return _on_disk(self.local, folder)
        with self.reading():
            try:
                found = self.fs.find(f"{self.root}/{folder}".rstrip("/"), detail=True)
            except MISSING:
                return {}
        start = len(self.root.rstrip("/")) + 1
        return {str(path)[start:]: int(found[path].get("size") or 0) for path in sorted(found)}

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder, in order; none if there is no such folder.

        Raises:
            StoreError: If it cannot be listed.
        """
        with self.reading():
            try:
                found = self.fs.ls(f"{self.root}/{folder}", detail=False)
            except MISSING:
                return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)


def _on_disk(root: Path, folder: str) -> dict[str, int]:
    """Bytes by path; links are not followed."""
    found = [Path(place) / name for place, _, names in os.walk(root / folder) for name in names]
    return {path.relative_to(root).as_posix(): path.lstat().st_size for path in sorted(found)}


def _refused(error: Exception) -> bool:
    """Whether a server would not write because something is there, or is being written at this moment."""
    told = getattr(error.__cause__, "response", None)  # of botocore, which s3fs does not always translate
    code = told.get("Error", {}).get("Code") if isinstance(told, dict) else None
    return isinstance(error, FileExistsError) or code in ("PreconditionFailed", "412", "ConditionalRequestConflict")
