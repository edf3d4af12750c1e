"""List files without a header, as research data comes with: a picture a line, its fields separated by blanks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.data.names import shown
from unveil.harness.words.errors import DataError, listed


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        number: From 1.
        picture: The file that it names.
        fields: What follows.
    """

    number: int
    picture: str
    fields: tuple[str, ...]

    @property
    def stem(self) -> str:
        """The picture without its ending: copies of a data set differ in that."""
        return Path(self.picture.replace("\\", "/")).stem


def read(file: Path, fields: int, *, more: bool = False) -> list[Line]:
    """The lines of a list file that are not blank.

    Args:
        file: Where it is.
        fields: How many each has, the picture included.
        more: Whether there may be more.

    Raises:
        DataError: If it cannot be read, is empty, a line has another number of fields, or a picture is listed twice.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{shown(file)} cannot be read: {error}", "a list in plain text", "get the file anew"
        ) from error
    lines = [
        Line(number, words[0], tuple(words[1:]))
        for number, one in enumerate(text.splitlines(), 1)
        if (words := one.split())
    ]
    odd = [line for line in lines if len(line.fields) + 1 < fields or (not more and len(line.fields) + 1 > fields)]
    if odd or not lines:
        told = [f"line {line.number}: {' '.join((line.picture, *line.fields))[:60]!r}" for line in odd]
        raise DataError(
            f"{shown(file)}: {listed(told) if told else 'it is empty'}",
            f"{fields} fields a line, separated by blanks, the first of which is the picture's file",
            "get the file anew: is it the right list?",
        )
    _require_once(file, lines)
    return lines


def _require_once(file: Path, lines: Sequence[Line]) -> None:
    seen: dict[str, Line] = {}
    twice = [(seen[line.stem], line) for line in lines if seen.setdefault(line.stem, line) is not line]
    if twice:
        told = [f"{shown(b.picture)} (lines {a.number} and {b.number})" for a, b in twice]
        raise DataError(
            f"{shown(file)} lists {len(twice)} pictures more than once: {listed(told)}",
            "each picture once",
            "get the file anew",
        )


def numbers(file: Path, lines: Sequence[Line], *, most: int | None = None) -> list[int]:
    """The first field of each line as a whole number.

    Args:
        file: For the message.
        lines: Of the file.
        most: The highest that there may be; None for any.

    Raises:
        DataError: If one is none.
    """
    found = [whole_number(line.fields[0]) for line in lines]
    odd = [
        f"line {line.number}: {line.fields[0][:40]!r}"
        for line, number in zip(lines, found, strict=True)
        if number is None or (most is not None and number > most)
    ]
    if odd:
        wanted = "a whole number" if most is None else f"a whole number from 0 to {most}"
        raise DataError(f"{shown(file)}: {listed(odd)}", f"{wanted} after each picture", "get the file anew")
    return [number for number in found if number is not None]


def whole_number(text: str) -> int | None:
    """A number of up to nine digits; None if the text is none.

    >>> whole_number("12"), whole_number("-1"), whole_number("9" * 5000)
    (12, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None
