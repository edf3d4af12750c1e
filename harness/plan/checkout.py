"""What installing this package would tell Python, read from the checkout where it is not installed: version, plugins.

A machine that is lent for minutes has no package index: there the code runs from a folder that lies on the path.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path
from typing import Any

NAME = "unveil"
UNKNOWN = "0+unknown"
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def version() -> str:
    """Of this package: as installed, else as its checkout says."""
    try:
        return metadata.version(NAME)
    except PackageNotFoundError:
        return str(_project().get("version", UNKNOWN))


def entry_points(group: str) -> list[EntryPoint]:
    """What this package would register in a group; nothing where it is installed, and so has registered it."""
    try:
        metadata.distribution(NAME)
    except PackageNotFoundError:
        points = _project().get("entry-points", {}).get(group, {})
        return [EntryPoint(name, target, group) for name, target in points.items()]
    return []


@cache
def _project() -> dict[str, Any]:
    """The table ``project`` of the checkout's pyproject.toml; empty where there is none, or another project's."""
    try:
        found: dict[str, Any] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return {}
    return found if found.get("name") == NAME else {}
