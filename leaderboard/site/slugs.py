"""Names as addresses: the same name has the same one on every site, and two names never share one."""

from __future__ import annotations

import hashlib
import re

MOST = 60  # characters of a name that its address shows
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")  # what Windows takes for a device, whatever its ending


def slug(name: str) -> str:
    """Small letters, digits, ``_`` and ``-``; a name that has others, or is too long, ends in a part of its hash.

    >>> slug("tl_dmi"), slug("TL-DMI")
    ('tl_dmi', 'tl-dmi-7cd628')
    """
    plain = re.sub(r"[^a-z0-9_]+", "-", name.lower())[:MOST].strip("-")
    if plain == name and plain and not DEVICES.fullmatch(plain):
        return plain
    return f"{plain or 'x'}-{mark(name)}"


def mark(text: str) -> str:
    """Six characters that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
