"""Names of people and files: how they are compared, printed, and whether they can be names at all."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})
# What folders of pictures are called that are nobody's.
GENERIC = SPLITS | {
    *("all", "aligned", "archive", "batch", "chunk", "crop", "crops", "cropped", "data", "dataset", "dir", "disk"),
    *("face", "faces", "fold", "folder", "group", "image", "images", "img", "imgs", "misc", "new", "nobody", "other"),
    *("others", "output", "page", "part", "parts", "photo", "photos", "pic", "pics", "picture", "pictures", "raw"),
    *("sample", "samples", "set", "shard", "shards", "split", "subset", "temp", "tmp", "unknown"),
    *("vol", "volume"),
}
# What people are called whom somebody has numbered.
NUMBERED = frozenset(
    {"actor", "class", "digit", "id", "identity", "label", "people", "person", "private", "public", "subject", "user"}
)
ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015.,'\u2019]+")


def plain(name: str) -> str:
    r"""A name without the differences that spelling makes: Unicode form, case, blanks and other separators.

    >>> plain(" Jose\u0301_Pe\u00f1a") == plain("jos\u00e9 pe\u00f1a")
    True
    """
    visible = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return SEPARATORS.sub(" ", unicodedata.normalize("NFKC", visible.casefold())).strip()


def same_as(name: str) -> str:
    """A name as it is compared with others: plain, and numbers without leading zeros.

    >>> same_as("Person 007") == same_as("person_7")
    True
    """
    return ZEROS.sub("", plain(name))


def shown(name: str | Path) -> str:
    r"""A file name as text that every file and terminal takes: bytes that are not UTF-8 become ``\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_name(name: str) -> bool:
    """Whether it can be somebody's name, not a number, an identifier or what a folder of pictures is called.

    >>> [is_name(name) for name in ("Ann", "o'neil 2", "00000", "n000129", "part_3", "person 001", "train", "3fa9c1")]
    [True, True, False, False, False, False, False, False]
    """
    words, digits = _words(name), sum(c.isdigit() for c in name)
    if not words or 2 * digits >= sum(c.isalnum() for c in name):
        return False
    return any(word not in GENERIC | NUMBERED and not (word.isascii() and len(word) == 1) for word in words)


def is_generic(name: str) -> bool:
    """Whether it is a word for a heap of pictures, such as ``images`` or ``part_3``."""
    words = _words(name)
    return bool(words) and all(word in GENERIC for word in words)


def could_be_shards(names: Sequence[str]) -> bool:
    """Whether folders of these names could be heaps of pictures of many people each.

    >>> could_be_shards(["00000", "01000"]), could_be_shards(["0a", "ff"]), could_be_shards(["ann", "00000"])
    (True, True, False)
    """
    bare = [plain(name).replace(" ", "") for name in names]
    numbers = all(name.isdigit() or is_generic(name) for name in names) or all(b.isdigit() for b in bare)
    hashes = len({len(b) for b in bare}) == 1 and all(re.fullmatch(r"[0-9a-f]+", b) for b in bare)
    letters = len(bare) > 1 and all(len(b) == 1 and b.isascii() for b in bare)
    return bool(bare) and (numbers or (hashes and any(c.isdigit() for b in bare for c in b)) or letters)


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", plain(name))


def alike(names: Sequence[str]) -> list[list[str]]:
    """Different names that differ in spelling only, together; so do 007 and the 7 that spreadsheets make of it."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        groups[same_as(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]
