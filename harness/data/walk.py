"""Everything below a folder: each picture once, by whatever links it is reached, and all the rest by reason."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

from PIL import features

from unveil.harness.data.names import shown
from unveil.harness.words.account import Remark, Side, remark
from unveil.harness.words.errors import DataError

SUFFIXES = frozenset(
    {
        *(".apng", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm", ".pcx"),
        *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
        *([".avif"] if features.check("avif") else []),
    }
)
UNREAD = (
    frozenset(
        {
            *(
                ".3fr",
                ".arw",
                ".avif",
                ".bpg",
                ".cr2",
                ".cr3",
                ".dcm",
                ".dng",
                ".eps",
                ".exr",
                ".hdr",
                ".heic",
                ".heif",
            ),
            *(".hif", ".icns", ".ico", ".jxl", ".jxr", ".mat", ".nef", ".npy", ".orf", ".pef", ".pfm", ".psd", ".raf"),
            *(".raw", ".rw2", ".sgi", ".srw", ".svg", ".xcf"),
        }
    )
    - SUFFIXES
)
PACKED = frozenset(
    {
        *(
            ".7z",
            ".bz2",
            ".gz",
            ".h5",
            ".hdf5",
            ".lmdb",
            ".npz",
            ".parquet",
            ".pkl",
            ".rar",
            ".rec",
            ".tar",
            ".tfrecord",
        ),
        *(".tgz", ".xz", ".zip", ".zst"),
    }
)
SYSTEM = frozenset(
    {"$recycle.bin", "@eadir", "__macosx", "desktop.ini", "ehthumbs.db", "icon\r", "lost+found", "thumbs.db"}
)
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
Key = tuple[int, int]


@dataclass(frozen=True)
class Walked:
    """What lies below a folder.

    Attributes:
        files: The pictures, in a fixed order.
        remarks: The rest.
    """

    files: list[Path]
    remarks: list[Remark]


def walk(root: Path, side: Side, *, people: bool) -> Walked:
    """Finds every picture below a folder once. Links are followed, after all that lies there itself.

    Args:
        root: The folder, as an absolute path.
        side: For the remarks.
        people: Whether folders of the first level are people: then nothing may be reached as two people's.

    Raises:
        DataError: If a folder cannot be listed, or the same file or folder would be two people's.
    """
    return _Walk(root, side, people).result()


def key(path: Path) -> Key:
    """What tells one file or folder from all others, whatever it is called."""
    at = path.stat()
    return at.st_dev, at.st_ino


@dataclass
class _Walk:
    root: Path
    side: Side
    people: bool
    files: dict[Key, Path] = field(default_factory=dict)
    folders: dict[Key, Path] = field(default_factory=dict)
    links: deque[Path] = field(default_factory=deque)
    passed: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    odd: list[str] = field(default_factory=list)
    heaps: list[Path] = field(default_factory=list)

    def result(self) -> Walked:
        self._enter(self.root)
        while self.links:
            self._follow(self.links.popleft())
        files = sorted(self.files.values(), key=self._order)
        remarks = [*self._nobody(files), *(remark(self.side, what, names) for what, names in self.passed.items())]
        if self.odd:
            told = "pictures by their content, whatever their ending says"
            remarks.append(remark(self.side, told, self.odd, used=True))
        return Walked(files, remarks)

    def _order(self, file: Path) -> list[tuple[int, str]]:
        """A folder's own files come before those of its folders."""
        *folders, name = file.relative_to(self.root).parts
        return [*((1, folder) for folder in folders), (0, name)]

    def _name(self, path: Path) -> str:
        return shown(path.relative_to(self.root).as_posix())

    def _owner(self, folder: Path) -> str:
        parts = folder.relative_to(self.root).parts
        return parts[0] if self.people and parts else ""

    def _pass(self, what: str, path: Path) -> None:
        self.passed[what].append(self._name(path))

    def _enter(self, folder: Path) -> None:
        known = self.folders.setdefault(key(folder), folder)
        if known != folder:
            self._again(folder, known, "links to a folder that is read where it lies")
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(
                f"{shown(folder)} cannot be listed: {error.strerror}", "a readable folder", "check its rights"
            ) from error
        for entry in sorted(entries, key=lambda entry: entry.is_dir(follow_symlinks=False)):
            self._meet(Path(entry.path), entry)

    def _meet(self, path: Path, entry: os.DirEntry[str]) -> None:
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM:
            self._pass("hidden and system files", path)
        elif entry.is_symlink():
            self.links.append(path)
        elif entry.is_dir():
            self._person(path)
            self._enter(path)
        elif entry.is_file():
            self._file(path)
        else:
            self._pass("things that are neither files nor folders", path)

    def _person(self, folder: Path) -> None:
        if self.people and folder.parent == self.root:
            self.heaps.append(folder)

    def _follow(self, link: Path) -> None:
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # which of them a circle of links is depends on the Python
            self._pass("links that lead nowhere", link)
            return
        if target.is_file():
            self._file(link)
        elif not target.is_dir():
            self._pass("things that are neither files nor folders", link)
        elif self._above(link, target):
            self._pass("links that lead back up, which are not followed", link)
        else:
            self._person(link)
            self._enter(link)

    def _above(self, link: Path, target: Path) -> bool:
        """Whether a link leads to a folder that it lies in, by its real path or by the path that led to it."""
        here = [parent for parent in link.parents if parent.is_relative_to(self.root)]
        return link.parent.resolve().is_relative_to(target) or key(target) in map(key, here)

    def _again(self, path: Path, known: Path, what: str, *, files: bool = False) -> None:
        owners = {self._owner(one.parent if files else one) for one in (path, known)}
        if len(owners) == 1:
            self._pass(what, path)
            return
        raise DataError(
            f"{shown(path)} is the same as {shown(known)}: its pictures would be of two people",
            "each picture below one person's folder",
            "remove the link or the copy that is wrong",
        )

    def _file(self, path: Path) -> None:
        if (why := self._unused(path)) is not None:
            self._pass(why, path)
            return
        known = self.files.setdefault(key(path), path)
        if known != path:
            self._again(path, known, "files that are read under another name (links)", files=True)
        elif path.suffix.lower() not in SUFFIXES:
            self.odd.append(self._name(path))

    def _unused(self, path: Path) -> str | None:
        """Why a file is no picture to be read; None if it is one."""
        suffix = path.suffix.lower()
        if suffix in SUFFIXES:
            return None
        picture = _looks_like_a_picture(path)
        if picture and (suffix in UNREAD or not suffix):
            return None
        if suffix in UNREAD:
            return f"pictures in a format that is not read ({suffix})"
        if picture:
            return f"pictures with an ending that is none of a picture ({shown(suffix)})"
        if suffix in PACKED:
            return "archives and packed files, which are not opened"
        return "other files"

    def _nobody(self, files: list[Path]) -> list[Remark]:
        """People whose folders hold no picture that is read."""
        there = {self._owner(file.parent) for file in files}
        gone = [folder for folder in sorted(self.heaps) if folder.name not in there]
        besides = [name.split("/")[0] for names in self.passed.values() for name in names if "/" in name]
        told = [(shown(folder.name), besides.count(shown(folder.name))) for folder in gone]
        names = [f"{name}: {f'{others} other files' if others else 'empty'}" for name, others in told]
        return [remark(self.side, "folders of people without a picture that is read", names)] if names else []


def _looks_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
