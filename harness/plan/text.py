"""From a plan file to its tables; what is no TOML is told in the words of whoever wrote it. Imports no torch."""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any

from unveil.harness.words.errors import PlanError

TOML = "a TOML file in UTF-8"
MOST_BYTES = 1_000_000  # a plan is read by people, and stands in every report
DEEPEST = 32  # tables in tables
MOST_DOTS = 1000  # in a line
SHOWN = 200  # characters of a line that are quoted and looked at

# What a line has that is no TOML, and what to write instead; the first that is found is told.
HABITS = (
    (r"[“”„‟«»‘’‚]", "it has curly quotes, as word processors make them: write straight ones"),
    (r"[\u00a0\u2007\u202f\u200b\ufeff]", "it has a blank that is no plain one: delete and type the blanks anew"),
    (r"=\s*[–—−]", "it has a dash for a minus sign: write -"),
    (r"=\s*(True|False)\b", "true and false begin with a small letter"),
    (r"=\s*(None|none|null|nil)\b", "TOML has no word for nothing: leave the key out"),
    (r"=\s*([Yy]es|[Nn]o|[Oo]n|[Oo]ff)\b", "write true or false"),
    (r"=\s*[-+]?\d+,\d", "it has a decimal comma: write a point"),
    (r"=\s*[-+]?(\.\d|\d+\.(?!\d))", "write digits on both sides of the decimal point"),
    (r"=\s*[-+]?0\d", "a number begins with no zero that could be left out"),
    (
        r'"[^"]*\\[^"]*"',
        "in double quotes a backslash is an escape: write / in paths, or single quotes",
    ),
    (r"\{[^}]*$", "what stands in { } stands on one line: close it there, or write a [table] of its own"),
    (r"^\s*[\w-]+\s*:", "a key and its value have = between them, not a colon"),
    (r"""^[^"']*("[^"]*|'[^']*)$""", "a quote is opened and not closed"),
    (r"=\s*[A-Za-z_~./$][^\"'\[{]*$", "text stands in quotes"),
    (r"=\s*$", "there is no value after ="),
)


def text(path: Path) -> str:
    """The text of a plan file, without a byte-order mark and with Unix line ends.

    Raises:
        PlanError: If it cannot be read, or is no text in UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        inside = sorted(p.name for p in path.glob("*.toml"))
        todo = f"name the file: {', '.join(inside[:3])}" if inside else "name the file in it"
        raise PlanError(f"{str(path)!r} is a folder", TOML, todo) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise PlanError(
            f"plan {str(path)!r} cannot be read: {reason}", TOML, "correct the path or its rights"
        ) from error
    return decoded(data, str(path))


def decoded(data: bytes, where: str) -> str:
    """Text of the bytes of a plan; see ``text``."""
    if len(data) > MOST_BYTES:
        raise PlanError(f"{where} has more than {MOST_BYTES:,} bytes", "a plan", "name a plan file")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[1::2][:64] + data[::2][:64]:
        raise PlanError(
            f"{where} is written in UTF-16, or is no text at all", TOML, "save it as UTF-8 (in Notepad: Encoding)"
        )
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start)
        line = data.split(b"\n")[number].decode("cp1252", "replace").strip()[:SHOWN]
        raise PlanError(
            f"line {number + 1} of {where} is not in UTF-8: {line}", TOML, "save the file as UTF-8"
        ) from error


def tables(text: str, where: str) -> dict[str, Any]:
    """What the text says, before any of it is checked.

    Args:
        text: TOML.
        where: What to call it in errors.

    Raises:
        PlanError: If it is not TOML, or says nothing.
    """
    dotted = [number for number, line in enumerate(text.split("\n"), 1) if line.count(".") > MOST_DOTS]
    if dotted:  # tomllib takes minutes over a key of many parts
        raise PlanError(f"line {dotted[0]} of {where} has more than {MOST_DOTS} dots", TOML, "correct that line")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(text, where, error) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in brackets
        reason = "it nests too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise PlanError(f"{where} cannot be read: {reason}", TOML, "see docs/plans.md for one that can") from error
    require_shallow(raw, where)
    if not raw:
        raise PlanError(f"{where} is empty", "a plan", "see docs/plans.md for one to start from")
    return raw


def require_shallow(raw: dict[str, Any], where: str) -> None:
    """Refuses tables in tables without end, which nothing behind could walk through.

    Raises:
        PlanError: If there are such.
    """
    if _deep(raw):
        raise PlanError(f"{where} nests tables more than {DEEPEST} deep", "a plan", "see docs/plans.md")


def _no_toml(text: str, where: str, error: tomllib.TOMLDecodeError) -> PlanError:
    if other := _other_language(text):
        return PlanError(f"{where} is {other}", TOML, "write the plan as TOML; see docs/plans.md for one")
    number = re.search(r"at line (\d+)", str(error))
    at = int(number[1]) if number else len(text.splitlines())
    line = (text.splitlines() or [""])[min(at, len(text.splitlines())) - 1][:SHOWN]
    return PlanError(
        f"{where} is not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}: {line.strip()}",
        "TOML",
        _remedy(line, error),
    )


def _deep(raw: dict[str, Any]) -> bool:
    """Whether tables lie in tables without end: dotted keys make thousands, which nothing behind could walk through."""
    level: list[Any] = [raw]
    for _ in range(DEEPEST):
        inner = [value for one in level for value in (one.values() if isinstance(one, dict) else one)]
        level = [value for value in inner if isinstance(value, dict | list)]
    return bool(level)


def _remedy(line: str, error: tomllib.TOMLDecodeError) -> str:
    table = re.match(r"\s*\[+\s*([\w.-]+)", line)
    if str(error).startswith("Cannot") and table:
        return f"each of several entries begins with [[{table[1]}]], in double brackets, and not twice in another way"
    if str(error).startswith("Cannot"):
        return "this key is there twice: remove one of the two lines"
    bare = re.sub(r"""\s#[^"']*$""", "", line)
    return next((told for habit, told in HABITS if re.search(habit, bare)), "correct that line")


def _other_language(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    if first.lstrip().startswith("{"):
        return "JSON"
    if first.startswith(("---", "%YAML")) or re.match(r"[\w-]+:(\s|$)", first):
        return "YAML"
    if re.match(r"<(!|\w)", first.lstrip()):
        return "a web page"
    return "a Python program" if re.match(r"(import|from|def|class)\s", first) else ""
