"""One text for one value, so that equal questions have equal hashes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from unveil.harness.words.errors import UnveilError


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spare blanks.

    Raises:
        UnveilError: If a number in it is NaN or infinite; says where.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except ValueError:
        place, number = next(_not_finite(value), ("", None))
        if number is None:
            raise
        raise UnveilError(
            f"{place} came out as {number}, which cannot be kept as a result",
            "finite numbers",
            "find out what diverged: lower a learning rate, or repair the plugin that gave the number",
        ) from None


def _not_finite(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Places of numbers that are NaN or infinite."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, one in inner:
        yield from _not_finite(one, f"{place} / {name}" if place else str(name))
    if isinstance(value, float) and not math.isfinite(value):
        yield place, value


def digest(value: Any) -> str:
    """SHA-256 of the canonical text, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
