"""A site in a folder: what changed is written, what it no longer has is taken away, and no other file is touched."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.words import disk
from unveil.harness.words.errors import StoreError, listed

MANIFEST = "unveil-site.json"  # names the files that are ours, with the SHA-256 of each
FORMAT = 1
OURS = re.compile(r"(?!\.)[A-Za-z0-9_.-]+(/(?!\.)[A-Za-z0-9_.-]+)*")  # no path leads out of the folder, or hides
ELSEWHERE = "name another folder for the site, or move away what is there"


@dataclass(frozen=True)
class Written:
    """What became of the files of a site.

    Attributes:
        written: New or changed.
        unchanged: As they were; not written again.
        removed: No longer part of it.
        left: No longer part of it, but changed by somebody since: they stay.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]


def write(folder: Path, files: Mapping[str, bytes]) -> Written:
    """Makes a folder hold this site, and whatever else was in it.

    If it is stopped halfway, the next call goes on: before anything is written the manifest names all that will be.

    Args:
        folder: Made if it is not there.
        files: Contents by path.

    Raises:
        StoreError: If something that is not the site's is in the way, or the folder cannot be written.
    """
    known = _known(folder)
    _refuse(folder, files, known)
    sums = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    with disk.in_words(f"the site {str(folder)!r}"):
        changed = [path for path in files if _sum(folder / path) != sums[path]]
        if changed or known != sums:
            _keep(folder, known | sums)
        for path in changed:
            disk.write(folder / path, files[path])
        stale = [path for path in known if path not in files and (folder / path).is_file()]
        removed = [path for path in stale if _sum(folder / path) == known[path]]
        for path in removed:
            (folder / path).unlink()
        _clear(folder, removed)
        if known != sums:
            _keep(folder, sums)
    return Written(
        tuple(changed), tuple(path for path in files if path not in changed), tuple(removed),
        tuple(path for path in stale if path not in removed),
    )  # fmt: skip


def _keep(folder: Path, sums: Mapping[str, str]) -> None:
    text = json.dumps({"format": FORMAT, "files": dict(sorted(sums.items()))}, indent=1) + "\n"
    disk.write(folder / MANIFEST, text.encode())


def _known(folder: Path) -> dict[str, str]:
    """The files that an earlier site wrote, with their sums."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise StoreError(f"{str(folder)!r} is no folder", "a folder for the site", ELSEWHERE) from None
    except (OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise StoreError(
            f"{MANIFEST} in {str(folder)!r} cannot be read: {error}",
            "what an earlier site wrote there",
            "delete it together with the pages of that site, or name another folder",
        ) from error
    good = isinstance(told, dict) and all(
        isinstance(value, str) and OURS.fullmatch(name) for name, value in told.items()
    )
    if not good:
        raise StoreError(f"{MANIFEST} in {str(folder)!r} names files that no site has", "its own", ELSEWHERE)
    return dict(told)


def _refuse(folder: Path, files: Mapping[str, bytes], known: Mapping[str, str]) -> None:
    """Before anything is written: whatever is in the way and not ours."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{str(folder)!r} is no folder", "a folder for the site", ELSEWHERE)
    links = sorted({str(part) for path in {*files, *known} for part in _links(folder, path)})
    if links:
        raise StoreError(f"links stand where the site has its files: {listed(links)}", "files and folders", ELSEWHERE)
    taken = [path for path, data in files.items() if path not in known and _other(folder / path, data)]
    if taken:
        raise StoreError(
            f"{str(folder)!r} holds files of that name which no site wrote: {listed(taken)}",
            "a new folder, or one that holds a site",
            ELSEWHERE,
        )


def _links(folder: Path, path: str) -> Iterator[Path]:
    for part in (folder / path, *(folder / path).parents):
        if part == folder:
            return
        if part.is_symlink():
            yield part


def _other(path: Path, data: bytes) -> bool:
    """Whether something else is there; a file that is the same is as good as ours."""
    return path.exists() and not (path.is_file() and path.read_bytes() == data)


def _sum(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _clear(folder: Path, removed: list[str]) -> None:
    """Takes away folders that are empty now."""
    for parent in sorted({parent for path in removed for parent in Path(path).parents if parent.name}, reverse=True):
        with suppress(OSError):  # somebody's file is in it
            (folder / parent).rmdir()
