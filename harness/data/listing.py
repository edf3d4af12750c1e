"""Which file shows whom, as the folders say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from unveil.harness.assets.fetch import digest, sha256
from unveil.harness.data.names import SPLITS, could_be_shards, is_generic, plain, shown
from unveil.harness.data.parallel import in_parallel
from unveil.harness.data.walk import SUFFIXES, Key, key, walk
from unveil.harness.words.account import Remark, Side, remark
from unveil.harness.words.errors import DataError, listed


@dataclass(frozen=True)
class Entry:
    """One picture.

    Attributes:
        file: Where it is.
        person: Who is on it; empty where nobody knows.
        split: The role prescribed for it; empty where none is.
        line: The line of the CSV that says so; 0 where none does.
        written: The path as it stands there.
    """

    file: Path
    person: str
    split: str = ""
    line: int = 0
    written: str = ""


@dataclass(frozen=True)
class Listing:
    """The pictures of one side, and what lies beside them.

    Attributes:
        entries: The pictures, in a fixed order.
        remarks: The rest.
        unlisted: All pictures below the root of a CSV, by what they are called, until they are accounted for.
    """

    entries: list[Entry]
    remarks: list[Remark] = field(default_factory=list)
    unlisted: Mapping[str, Path] = field(default_factory=dict)

    def accounted(self, side: Side, used: Set[Key]) -> Listing:
        """With a remark on what is not listed and not used otherwise."""
        left = [name for name, file in self.unlisted.items() if key(file) not in used]
        more = [remark(side, "pictures that the CSV does not list", left)] if left else []
        return Listing(self.entries, [*self.remarks, *more])


def from_folders(root: Path, side: Side, *, people: bool = True, sure: bool = True) -> Listing:
    """Every picture below a folder; its person is the folder of the first level that it lies in.

    Args:
        root: The folder.
        side: Whose pictures these are.
        people: Whether folders of the first level are people; otherwise nobody is known.
        sure: Whether somebody said so; otherwise names that could be those of shards are refused.

    Raises:
        DataError: If there is no such folder, no picture in it, or its folders are hardly people.
    """
    root = folder(root)
    found = walk(root, side, people=people)
    if not found.files:
        raise DataError(
            "\n  ".join([f"there is no picture in {shown(root)}", *(some.sentence for some in found.remarks)]),
            f"files ending in {' '.join(sorted(SUFFIXES))}",
            "check the path",
        )
    parts = [file.relative_to(root).parts for file in found.files]
    if people and side == "private":
        _require_people(root, parts)
    if people and not sure:
        _ask(root, parts)
    names = [shown(some[0]) if people and len(some) > 1 else "" for some in parts]
    return Listing([Entry(*one) for one in zip(found.files, names, strict=True)], found.remarks)


def _require_people(root: Path, parts: Sequence[tuple[str, ...]]) -> None:
    """Refuses folders of splits, and a folder around all people: everybody in them would be one person."""
    first = sorted({some[0] for some in parts if len(some) > 1})
    splits = [name for name in first if plain(name) in SPLITS]
    deep = {some[1] for some in parts if len(some) > 2}
    heap = len(first) == 1 and len(deep) > 1
    words = first and all(map(is_generic, first)) and (deep or not any(c.isdigit() for name in first for c in name))
    if len(splits) > 1 or words or heap:
        raise DataError(
            f"the folders of the first level in {shown(root)} are hardly people: {listed(list(map(shown, first)))}",
            "one folder for each person: everything below it is taken for that person",
            "name the folder that holds the people's folders; for splits, give a CSV with the columns "
            "file, identity and split",
        )


def _ask(root: Path, parts: Sequence[tuple[str, ...]]) -> None:
    """Refuses to guess whether folders such as 00000 are people."""
    first = sorted({some[0] for some in parts if len(some) > 1})
    alone = len(first) == 1 and all(len(some) > 1 for some in parts)
    if could_be_shards(first) or alone:
        raise DataError(
            f"the folders in {shown(root)} can be shards of many people's pictures: {listed(list(map(shown, first)))}",
            "public folders that are people, or the word of the plan on what they are",
            'in the plan\'s data, say public_folders = "shards" if many people are in each, public_folders = "people" '
            "if each is one person, or give public_labels",
        )


def folder(root: Path) -> Path:
    """The folder as an absolute path, if it is one.

    Raises:
        DataError: If it is not.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(
            f"{shown(root)} {found}",
            "a folder of pictures",
            f"check the path; relative ones start at {shown(Path.cwd())}",
        )
    return absolute(root)


def absolute(path: Path) -> Path:
    """The path from the top, without ``..``, so that paths can be compared; links stay links."""
    return Path(os.path.abspath(path))


def unnamed(entries: Sequence[Entry]) -> DataError:
    """The error for private pictures that lie in no person's folder."""
    files = [shown(entry.file) for entry in entries if not entry.person]
    return DataError(
        f"{len(files)} private pictures belong to no class: {listed(files)}",
        "one folder per class, or a CSV that says who is on each picture",
        "move them into a folder named for the class, or give labels and identity_column",
    )


def relative(entries: Sequence[Entry], root: Path) -> Mapping[str, Path]:
    """Path inside the root, as it can be printed, and the file, of every picture."""
    return {shown(entry.file.relative_to(absolute(root)).as_posix()): entry.file for entry in entries}


def checksum(files: Mapping[str, Path]) -> str:
    """One hash of files and of what they are called.

    Raises:
        DataError: If one cannot be read.
    """
    return digest(zip(files, in_parallel(_hash, list(files.values()), each=2), strict=True))


def _hash(row: int, file: Path) -> str:  # noqa: ARG001 (as all that is done in parallel)
    try:
        return sha256(file)
    except OSError as error:
        raise DataError(
            f"{shown(file)} cannot be read: {error.strerror}", "a readable file", "check its rights"
        ) from error
