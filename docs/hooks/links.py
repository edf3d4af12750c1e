"""Where links of a page lead once it is in the site: to another page of it, or to a copy of a file of the project."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIES = "source"  # where copies of files that are no pages lie in the site
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#\s])")
MOVED = {  # pages that lie outside docs/, and where they are in the site
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
}
ORIGIN = {place: file for file, place in MOVED.items() if place != "index.md"}


def origin(page: str) -> str:
    """The file of the project that a page of the site is made of."""
    if page.startswith(f"{COPIES}/"):
        return page.removeprefix(f"{COPIES}/")
    return ORIGIN.get(page, f"docs/{page}")


def place(file: str) -> str:
    """Where a file or folder of the project is in the site."""
    if file in MOVED:
        return MOVED[file]
    if (ROOT / file).is_dir():
        pages = [name for name in ("index.md", "README.md") if (ROOT / file / name).exists()]
        return place(f"{file}/{pages[0]}") if pages else f"{COPIES}/{file}"
    return file.removeprefix("docs/") if file.startswith("docs/") else f"{COPIES}/{file}"


def rewritten(text: str, page: str) -> str:
    """The Markdown of a page with its links as they are in the site."""
    folder = posixpath.dirname(page) or "."

    def moved(found: re.Match[str]) -> str:
        target = _target(page, found[1])
        return posixpath.relpath(place(target), folder) if (ROOT / target).exists() else found[1]

    return LINK.sub(moved, text)


def outside(text: str, page: str) -> Iterator[str]:
    """The files of the project that a page links to and that are no pages of the site."""
    for found in LINK.finditer(text):
        target = _target(page, found[1])
        if (ROOT / target).is_file() and place(target).startswith(f"{COPIES}/"):
            yield target


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin(page)), link))
