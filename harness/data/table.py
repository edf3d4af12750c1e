"""Label files: a table of pictures, however spreadsheets wrote it."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.data.names import plain, shown
from unveil.harness.data.walk import SUFFIXES
from unveil.harness.words.errors import DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        line: Its number in the file, from 1.
        fields: As many as it has.
    """

    line: int
    fields: list[str]


@dataclass(frozen=True)
class Table:
    """A label file.

    Attributes:
        file: Where it is.
        header: Names of the columns, as written but for blanks around them.
        rows: The lines below that are not blank.
    """

    file: Path
    header: list[str]
    rows: list[Row]

    def column(self, name: str) -> str:
        """The header that a column goes by, whatever its case and blanks.

        Raises:
            DataError: If there is none.
        """
        if (found := self.among((name,))) is not None:
            return found
        near = difflib.get_close_matches(plain(name), list(map(plain, self.header)), n=1, cutoff=0.5)
        meant = [own for own in self.header if near and plain(own) == near[0]]
        raise DataError(
            f"{shown(self.file)} has no column {name!r}",
            f"one of its columns: {', '.join(self.header)}",
            f"did you mean {meant[0]!r}?" if meant else "name the right column in the plan",
        )

    def among(self, usual: Sequence[str]) -> str | None:
        """The first of some names that a column has."""
        known = {plain(own): own for own in reversed(self.header)}
        return next((known[plain(name)] for name in usual if plain(name) in known), None)

    def value(self, row: Row, column: str) -> str:
        """What a line says in a column.

        Raises:
            DataError: If it is too short.
        """
        at = self.header.index(column)
        if at >= len(row.fields):
            raise DataError(
                f"{shown(self.file)}, line {row.line}: {len(row.fields)} fields, and none for the column {column!r}",
                f"{len(self.header)} fields, as in the header",
                "complete the line",
            )
        return row.fields[at]


def read(file: Path, wanted: str) -> Table:
    """Reads a label file separated by commas, semicolons, tabs or bars.

    Args:
        file: Where it is.
        wanted: A column that it must have; tells which character separates.

    Raises:
        DataError: If it cannot be read, is no such table, or a line has more fields than the header.
    """
    text = _text(file)
    mark = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)  # what spreadsheets write to tell each other
    first = (text[mark.end() :] if mark else text).lstrip("\r\n").split("\n", 1)[0]
    delimiter = mark.group(1) if mark else _delimiter(first, wanted)
    header, *rows = _rows(file, text, delimiter, skip=1 if mark else 0) or [Row(1, [])]
    table = Table(file, [name.strip() for name in header.fields], rows)
    _require_header(table)
    if not rows:
        raise DataError(f"{shown(file)} lists no picture", "a header and one line per picture")
    _require_width(table, delimiter)
    _require_whole_lines(table)
    return table


def _text(file: Path) -> str:
    if file.exists() and not file.is_file():
        raise DataError(f"{shown(file)} is no file", "a CSV with a header", "check the path")
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{shown(file)} cannot be read: {error.strerror}", "a CSV with a header", "check the path"
        ) from error
    wide = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        where = "UTF-16" if wide else f"UTF-8: line {line} holds the byte 0x{raw[error.start]:02x}"
        raise DataError(
            f"{shown(file)} is not a CSV in {where}", "text in UTF-8", "save it as UTF-8 (in Excel: CSV UTF-8)"
        ) from error
    if "\0" in text:
        raise DataError(
            f"{shown(file)} is not a CSV: it holds bytes of value 0, as UTF-16 without a mark and spreadsheets do",
            "text in UTF-8",
            "export it as CSV, in UTF-8",
        )
    return text


def _delimiter(header: str, wanted: str) -> str:
    """The one under which the wanted column appears, else the one that makes most columns."""

    def fit(delimiter: str) -> tuple[bool, int]:
        try:
            names = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:  # whoever reads all lines says in which
            return False, 0
        return plain(wanted) in map(plain, names), len(names)

    return max(DELIMITERS, key=fit)


def _rows(file: Path, text: str, delimiter: str, skip: int) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[Row] = []
    try:
        start = 1
        for fields in reader:
            rows.append(Row(start, fields))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{shown(file)}, line {reader.line_num}: is not a CSV: {error}",
            "a table with a header, and quotes only around whole fields",
            "correct the line",
        ) from error
    return [row for row in rows[skip:] if any(field.strip() for field in row.fields)]


def _require_header(table: Table) -> None:
    pictures = [name for name in table.header if Path(name).suffix.lower() in SUFFIXES]
    if pictures:
        raise DataError(
            f"{shown(table.file)} has no header: its first line names the picture {pictures[0]}",
            "a first line with the names of the columns, such as: file,identity",
            "add it",
        )
    counts = Counter(plain(name) for name in table.header if name)
    twice = [name for name in table.header if counts[plain(name)] > 1]
    if twice:
        raise DataError(
            f"{shown(table.file)} has {len(twice)} columns of one name: {', '.join(map(repr, twice))}",
            "a name of its own for each column",
            "rename or remove one",
        )


def _require_whole_lines(table: Table) -> None:
    """A quote that is never closed makes one picture of several lines."""
    for row in table.rows:
        if broken := [name for name in row.fields if "\n" in name or "\r" in name]:
            raise DataError(
                f"{shown(table.file)}, line {row.line}: a field goes on in the next line: {broken[0][:40]!r}",
                "a line for each picture",
                "is a double quote missing?",
            )


def _require_width(table: Table, delimiter: str) -> None:
    for row in table.rows:
        if any(field.strip() for field in row.fields[len(table.header) :]):
            raise DataError(
                f"{shown(table.file)}, line {row.line}: {len(row.fields)} fields, but the header has "
                f"{len(table.header)} columns ({', '.join(table.header)})",
                f"fields separated by {DELIMITERS.get(delimiter, repr(delimiter))}; one that holds such a character "
                "stands in double quotes",
                'quote the field: "Smith, Ann"' if delimiter == "," else "quote the field",
            )
