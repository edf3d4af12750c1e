"""Which file shows whom: from directories, or from a CSV."""

from __future__ import annotations

import csv
import difflib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.data.images import SUFFIXES
from unveil.harness.data.splits import ROLES, listed
from unveil.harness.errors import DataError

# What people call these columns; the first that a CSV has is taken where a plan names none.
PERSON_COLUMNS = ("identity", "source_identity", "person", "name", "label", "class")
SPLIT_NAMES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}


@dataclass(frozen=True)
class Entry:
    """One picture.

    Attributes:
        file: Where it is.
        person: Who is on it; empty where nobody knows.
        split: The role prescribed for it; empty where none is.
    """

    file: Path
    person: str
    split: str = ""


def from_folders(root: Path, *, people: bool = True) -> list[Entry]:
    """Every picture below a folder; its person is the folder of the first level that it lies in.

    Args:
        root: The folder.
        people: Whether folders of the first level are people; otherwise nobody is known.

    Raises:
        DataError: If there is no such folder, or no picture in it.
    """
    root = folder(root)
    files = list(_walk(root))
    if not files:
        raise DataError(
            f"there is no picture in {root}", f"files ending in {' '.join(sorted(SUFFIXES))}", "check the path"
        )
    parts = [file.relative_to(root).parts for file in files]
    return [Entry(file, some[0] if people and len(some) > 1 else "") for file, some in zip(files, parts, strict=True)]


def folder(root: Path) -> Path:
    """The folder as an absolute path, if it is one.

    Raises:
        DataError: If it is not.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataError(
            f"{root} {found}", "a folder of pictures", f"check the path; relative ones start at {Path.cwd()}"
        )
    return absolute(root)


def absolute(path: Path) -> Path:
    """The path from the top, without ``..``, so that paths can be compared; links stay links."""
    return Path(os.path.abspath(path))


def _walk(root: Path) -> Iterator[Path]:
    """Pictures below a folder in a fixed order; hidden files and folders are not pictures."""
    for path, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(path, name)


@dataclass(frozen=True)
class Columns:
    """Names of a CSV's columns.

    Attributes:
        file: Path of the picture, relative to the CSV's folder.
        person: Who is on it; None takes the first usual name that is there.
        split: Its role; None takes ``split`` if it is there, empty takes none.
    """

    file: str
    person: str | None
    split: str | None


def from_csv(table: Path, root: Path, columns: Columns) -> list[Entry]:
    """The pictures that a CSV lists.

    Args:
        table: The CSV, with a header.
        root: Folder in which all the pictures must lie.
        columns: Names of its columns.

    Raises:
        DataError: If the CSV, its columns, its splits or its files are not as they should be.
    """
    header, rows = _rows(table)
    file = _column(table, header, columns.file)
    person = _first(table, header, columns.person, PERSON_COLUMNS)
    split = _first(table, header, columns.split, ("split",))
    entries = [
        Entry(
            absolute(table.parent / row[file]),
            row[person].strip() if person else "",
            _role(table, line, row[split]) if split else "",
        )
        for line, row in enumerate(rows, start=2)
    ]
    _inside(table, folder(root), entries)
    _all_there(table, entries)
    _once(table, entries)
    return entries


def _rows(table: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            rows = list(reader)
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}", "a CSV with a header", "check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV: {error}", "comma-separated text in UTF-8 with a header") from error
    if not rows:
        raise DataError(f"{table} lists no picture", "a header and one line per picture")
    return reader.fieldnames or (), rows


def _column(table: Path, header: Sequence[str], name: str) -> str:
    if name in header:
        return name
    near = difflib.get_close_matches(name, header, n=1, cutoff=0.5)
    raise DataError(
        f"{table} has no column {name!r}",
        f"one of its columns: {', '.join(header)}",
        f"did you mean {near[0]!r}?" if near else "name the right column in the plan",
    )


def _first(table: Path, header: Sequence[str], name: str | None, usual: Sequence[str]) -> str | None:
    """The column that was named, else the first usual one, else None."""
    if name:
        return _column(table, header, name)
    return next((some for some in usual if some in header), None) if name is None else None


def _role(table: Path, line: int, text: str) -> str:
    role = SPLIT_NAMES.get(text.strip().lower(), text.strip().lower())
    if role in ROLES:
        return role
    near = difflib.get_close_matches(role, ROLES, n=1)
    raise DataError(
        f"{table}, line {line}: unknown split {text!r}",
        " or ".join(ROLES),
        f"did you mean {near[0]!r}?" if near else "correct the line, or set split_column = '' to draw the splits",
    )


def _inside(table: Path, root: Path, entries: Sequence[Entry]) -> None:
    """Refuses a CSV that belongs to another folder: the commonest mix-up of private and public."""
    outside = [str(entry.file) for entry in entries if not entry.file.is_relative_to(root)]
    if outside:
        raise DataError(
            f"{table} lists {len(outside)} pictures that are not in {root}: {listed(outside)}",
            "paths relative to the CSV's own folder, all inside the root",
            "is it the CSV of another folder?",
        )


def _all_there(table: Path, entries: Sequence[Entry]) -> None:
    there = {entry.file: entry.file.is_file() for entry in entries}
    missing = [str(file) for file, exists in there.items() if not exists]
    if not missing:
        return
    empty = sorted({e.person for e in entries} - {e.person for e in entries if there[e.file]} - {""})
    whole = f"; nothing is left of {len(empty)} classes: {listed(empty)}" if empty else ""
    raise DataError(
        f"{table} lists {len(missing)} pictures that do not exist: {listed(missing)}{whole}",
        "paths relative to the CSV's own folder",
        "add the files, or remove the lines",
    )


def _once(table: Path, entries: Sequence[Entry]) -> None:
    """A picture listed twice could be trained on and tested on."""
    twice = [str(file) for file, count in Counter(entry.file for entry in entries).items() if count > 1]
    if twice:
        raise DataError(
            f"{table} lists {len(twice)} pictures more than once: {listed(twice)}", "each picture once", "remove lines"
        )


def unnamed(entries: Sequence[Entry]) -> DataError:
    """The error for private pictures of nobody."""
    files = [str(entry.file) for entry in entries if not entry.person]
    return DataError(
        f"{len(files)} private pictures belong to no class: {listed(files)}",
        "one folder per class, or a CSV that says who is on each picture",
        "move them into a folder named for the class, or give labels and identity_column",
    )


def relative(entries: Sequence[Entry], root: Path) -> Mapping[str, Path]:
    """Path inside the root, and the file, of every picture."""
    return {entry.file.relative_to(absolute(root)).as_posix(): entry.file for entry in entries}
