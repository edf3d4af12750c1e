"""Files that are named by their SHA-256, some too large for memory, in a folder or behind a URL."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from unveil.harness.store.files import MISSING, UNREADABLE, Files, UnreadableError
from unveil.harness.words.disk import Disk, Handle, move_in
from unveil.harness.words.errors import StoreError


def put(files: Files, scratch: Path, parts: Iterable[bytes], place: Callable[[str], str]) -> str:
    """Writes a file part by part, whole or not at all, and returns the SHA-256 that it is named by.

    Args:
        files: Where to.
        scratch: A local folder where it grows; what an interrupted run leaves there goes with the folder.
        parts: Its bytes.
        place: Its path, by its SHA-256.

    Raises:
        StoreError: If it cannot be written.
    """
    with files.writing():
        part, name = _written(scratch, parts)
        try:
            if files.local is not None:
                path = files.local / place(name)
                Disk(files.local).clear(path)
                move_in(part, path)
            else:
                remote = f"{files.root}/{place(name)}"
                files.fs.makedirs(remote.rpartition("/")[0], exist_ok=True)
                files.fs.put_file(str(part), remote)  # its name is its content: whoever finds a half of it sees that
        finally:
            part.unlink(missing_ok=True)
    return name


def _written(folder: Path, parts: Iterable[bytes]) -> tuple[Path, str]:
    folder.mkdir(parents=True, exist_ok=True)
    part, total = folder / f"{uuid.uuid4().hex}.part", hashlib.sha256()
    try:
        with part.open("wb") as file:
            for data in parts:
                total.update(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part, total.hexdigest()


def fetch(files: Files, path: str, name: str) -> Handle | None:
    """A file whose name is its SHA-256, to read from wherever one likes; None if there is none.

    What lies behind a URL is copied first, to a local file without a name. What is deleted or renamed afterwards can
    still be read.

    Raises:
        UnreadableError: If what is there cannot be read, or is not what it is named for.
        StoreError: If that is not its own fault: a network that fails is no damage.
    """
    handle = _fetched(files, path)
    if handle is not None and hashlib.file_digest(handle.file, "sha256").hexdigest() != name:
        raise UnreadableError("is damaged")
    return handle


def _fetched(files: Files, path: str) -> Handle | None:
    try:
        if files.local is not None:
            return Handle((files.local / path).open("rb"))
        copy = Handle(tempfile.TemporaryFile())  # noqa: SIM115 (a handle closes it)
        with files.fs.open(f"{files.root}/{path}", "rb") as source:
            shutil.copyfileobj(source, copy.file)
        copy.file.seek(0)
    except MISSING:
        return None
    except Exception as error:
        if files.local is not None and isinstance(error, OSError) and error.errno in UNREADABLE:
            raise UnreadableError(f"cannot be read ({error.strerror})") from error
        raise StoreError(
            f"the store at {files.url} cannot be read: {type(error).__name__}: {error}",
            "a place that can be read",
            "see to that and run the same command again",
        ) from error
    return copy


def data(files: Files, path: str, name: str) -> bytes | None:
    """A file whose name is its SHA-256; None if there is none.

    Raises:
        UnreadableError: If it is not what it is named for.
    """
    data = files.get(path)
    if data is not None and hashlib.sha256(data).hexdigest() != name:
        raise UnreadableError("is damaged")
    return data
