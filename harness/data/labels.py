"""Which file shows whom, as a label file says."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.data import table
from unveil.harness.data.listing import Entry, Listing, absolute, folder
from unveil.harness.data.names import plain, shown
from unveil.harness.data.splits import ROLES
from unveil.harness.data.table import Row, Table
from unveil.harness.data.walk import key, walk
from unveil.harness.words.account import Remark, Side, remark
from unveil.harness.words.errors import DataError, listed

# What people call these columns; the first that a CSV has is taken where a plan names none.
PERSON_COLUMNS = ("identity", "source_identity", "person", "name", "label", "class")
NOBODY = frozenset({"?", "n/a", "nan", "none", "null", "unknown"})  # what programs write where a field is empty
SPLIT_NAMES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}


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


def from_csv(file: Path, root: Path, columns: Columns, side: Side) -> Listing:
    """The pictures that a CSV lists.

    Args:
        file: The CSV, with a header.
        root: Folder in which all the pictures must lie.
        columns: Names of its columns.
        side: Whose pictures these are.

    Raises:
        DataError: If the CSV, its columns, its splits or its files are not as they should be.
    """
    root, known = folder(root), table.read(file, columns.file)
    place = known.column(columns.file)
    person = _first(known, columns.person, PERSON_COLUMNS)
    split = _first(known, columns.split, ("split",))
    if columns.split is None and split is None:
        _require_no_other_split(known)
    entries = [
        Entry(
            _placed(known, row, place),
            _who(known, row, person) if person else "",
            _role(file, row.line, known.value(row, split)) if split else "",
            row.line,
            known.value(row, place),
        )
        for row in known.rows
    ]
    _inside(file, root, entries)
    _all_there(file, root, entries)
    _once(file, entries)
    if side == "private" and not all(entry.person for entry in entries):
        raise _unnamed(known, person, entries)
    found = walk(root, side, people=False)
    unlisted = {shown(one.relative_to(root).as_posix()): one for one in found.files}
    return Listing(entries, [*found.remarks, *_besides(known, side, entries, person)], unlisted)


def _first(known: Table, name: str | None, usual: Sequence[str]) -> str | None:
    """The column that was named, else the first usual one, else None."""
    if name:
        return known.column(name)
    return known.among(usual) if name is None else None


def _require_no_other_split(known: Table) -> None:
    """A split that somebody made and nobody reads would be replaced by another one."""
    for column in known.header:
        said = {known.value(row, column).strip().lower() for row in known.rows if len(row.fields) == len(known.header)}
        if len(said) > 1 and {SPLIT_NAMES.get(one, one) for one in said} <= set(ROLES):
            raise DataError(
                f"{shown(known.file)} has splits ({', '.join(sorted(said))}) in the column {column!r}, and no 'split'",
                "to be told whether these are the splits to use",
                f"set split_column = {column!r}, or split_column = '' to draw other ones",
            )


def _placed(known: Table, row: Row, column: str) -> Path:
    """Where a picture lies: as written, else with other separators or in another Unicode form if one is there."""
    text, base = known.value(row, column), known.file.parent
    if not text.strip():
        raise DataError(f"{shown(known.file)}, line {row.line}: no file is named", "a path", "complete the line")
    slashed = text.strip().replace("\\", "/")
    tried = [text, text.strip(), slashed, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))]
    return absolute(next((base / one for one in tried if os.path.isfile(base / one)), base / text))


def _who(known: Table, row: Row, column: str) -> str:
    name = known.value(row, column).strip()
    if name.casefold() in NOBODY:
        raise DataError(
            f"{shown(known.file)}, line {row.line}: {name!r} in the column {column!r} is hardly a person",
            "a name, or nothing where nobody knows who it is",
            "empty the field, or correct it",
        )
    return name


def _role(file: Path, line: int, text: str) -> str:
    role = SPLIT_NAMES.get(text.strip().lower(), text.strip().lower())
    if role in ROLES:
        return role
    near = difflib.get_close_matches(role, ROLES, n=1)
    raise DataError(
        f"{shown(file)}, line {line}: unknown split {text!r}",
        " or ".join(ROLES),
        f"did you mean {near[0]!r}?" if near else "correct the line, or set split_column = '' to draw the splits",
    )


def _inside(file: Path, root: Path, entries: Sequence[Entry]) -> None:
    """Refuses a CSV that belongs to another folder: the commonest mix-up of private and public."""
    outside = [entry for entry in entries if not entry.file.is_relative_to(root) and os.path.exists(entry.file)]
    if outside:
        raise DataError(
            f"{shown(file)} lists {len(outside)} pictures that are not in {shown(root)}: {_lines(outside)}",
            "paths relative to the CSV's own folder, all inside the root",
            "is it the CSV of another folder?",
        )


def _lines(entries: Sequence[Entry]) -> str:
    return listed([f"{shown(entry.file)} (line {entry.line})" for entry in entries])


def _all_there(file: Path, root: Path, entries: Sequence[Entry]) -> None:
    missing = [entry for entry in entries if not os.path.isfile(entry.file)]
    if not missing:
        return
    empty = sorted({e.person for e in entries} - {e.person for e in entries if os.path.isfile(e.file)} - {""})
    whole = f"; nothing is left of {len(empty)} classes: {listed(empty)}" if empty else ""
    raise DataError(
        f"{shown(file)} lists {len(missing)} pictures that do not exist: {_lines(missing)}{whole}",
        "paths relative to the CSV's own folder",
        _how_to_find(file, root, missing[0]),
    )


def _how_to_find(file: Path, root: Path, missing: Entry) -> str:
    """What to do about a path that leads nowhere, by what is wrong with it."""
    inside = os.path.relpath(missing.file, absolute(file.parent))
    if re.match(r"[A-Za-z]:[\\/]", inside):
        return "this is a path of another machine: write paths relative to the CSV, such as private/ann/0.png"
    if os.path.isfile(root / inside):
        return f"these paths start at {shown(root)}: move the CSV there, or put the way there before each path"
    return "add the files, or remove the lines"


def _once(file: Path, entries: Sequence[Entry]) -> None:
    """A picture listed twice could be trained on and tested on."""
    seen: dict[tuple[int, int], Entry] = {}
    twice = [(seen[at], entry) for entry in entries if seen.setdefault(at := key(entry.file), entry) is not entry]
    if twice:
        told = [f"{shown(a.file)} (lines {a.line} and {b.line})" for a, b in twice]
        raise DataError(
            f"{shown(file)} lists {len(twice)} pictures more than once: {listed(told)}",
            "each picture once",
            "remove lines",
        )


def _unnamed(known: Table, person: str | None, entries: Sequence[Entry]) -> DataError:
    nobody = [entry for entry in entries if not entry.person]
    if person is None:
        return DataError(
            f"{len(nobody)} private pictures belong to no class: {shown(known.file)} has no column that says who",
            f"one of {', '.join(PERSON_COLUMNS)}; its columns are {', '.join(known.header)}",
            "set identity_column to one of its columns",
        )
    return DataError(
        f"{len(nobody)} private pictures belong to no class: {_lines(nobody)} in {shown(known.file)}",
        f"a name in the column {person!r} of each line",
        "complete the lines, or remove them",
    )


def _besides(known: Table, side: Side, entries: Sequence[Entry], person: str | None) -> list[Remark]:
    """What of the CSV was read another way than it may have been meant, or than it is written."""
    usual = [name for name in known.header if plain(name) in map(plain, PERSON_COLUMNS) and name != person]
    others = [name for name in usual if person and _tells_other_people(known, person, name)]
    base = known.file.parent
    turned = [f"line {entry.line}" for entry in entries if not os.path.isfile(base / entry.written.strip())]
    made = [
        remark(side, f"columns of the CSV that may say who is on a picture, as the column {person!r} does", others),
        remark(side, "paths in the CSV with other separators or in another Unicode form", turned, used=True),
    ]
    return [one for one in made if one.count]


def _tells_other_people(known: Table, person: str, other: str) -> bool:
    """Whether two columns group the pictures differently: a number beside each name does not."""
    last = max(map(known.header.index, (person, other)))
    pairs = {(known.value(r, person), known.value(r, other)) for r in known.rows if len(r.fields) > last}
    return not len(pairs) == len({one for one, _ in pairs}) == len({one for _, one in pairs})
