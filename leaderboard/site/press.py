"""Prints pages: the templates, what all of them know, and the files that come out."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from unveil.leaderboard.environment import TEMPLATES, anchor, environment
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.site.records import Number
from unveil.leaderboard.site.slugs import slug
from unveil.leaderboard.strips import TINTS

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
NAV = (
    ("index.html", "Rankings"),
    ("defenses.html", "Defenses"),
    ("attacks.html", "Attacks"),
    ("data.html", "Data"),
    ("matrices.html", "Matrices"),
    ("how-to-read.html", "How to read"),
    ("cite.html", "Cite and download"),
)
BESIDE = 4  # grids that stand beside a table; more go below it
HERE = Path(__file__).parent / "templates"


class Press:
    """Makes files out of templates.

    Args:
        title: Of the site.
        private: Whether pictures are on it that must not be published.
    """

    def __init__(self, title: str, *, private: bool) -> None:
        self.files: dict[str, bytes] = {}
        self._env = environment(HERE)
        self._env.globals |= {
            "NAV": NAV, "policy": POLICY, "site_title": title, "private": private, "slug": slug, "depth": depth,
            "estimate": estimate, "BESIDE": BESIDE,
        }  # fmt: skip

    def page(self, path: str, template: str, **known: Any) -> None:
        """Writes one page.

        Args:
            path: In the site.
            template: Its file.
            known: What the template shows: its ``title``, the page of the navigation that it is ``under``, and so on.
        """
        root = "../" * path.count("/")
        context = {"links": Links(self, root), "root": root, "here": path, "under": "", **known}
        self.files[path] = self._env.get_template(template).render(context).encode("utf-8", "replace")

    def image(self, png: str) -> str:
        """Keeps a base64 PNG under its hash, and returns its path in the site."""
        try:
            data = base64.b64decode(png, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        path = f"pictures/{hashlib.sha256(data).hexdigest()[:16]}.png"
        self.files[path] = data
        return path

    def assets(self) -> None:
        """Style and script of all pages."""
        self.files["assets/page.css"] = _text(TEMPLATES / "style.css")
        self.files["assets/page.js"] = _text(TEMPLATES / "script.js")
        self.files["assets/site.css"] = _text(HERE / "site.css")
        self.files["assets/site.js"] = _text(HERE / "site.js")


class Links:
    """Where links lead on a site, and what its pictures are: as `OnePage`, with a page for each section.

    Args:
        press: Keeps the pictures.
        root: From the page to the top of the site.
        matrices: By defense, the matrix that holds its cells; empty on a page of that matrix.
    """

    alone: ClassVar[bool] = True

    def __init__(self, press: Press, root: str, matrices: Mapping[str, str] = MappingProxyType({})) -> None:
        self.press, self.root, self.matrices = press, root, matrices

    def section(self, name: str) -> str:
        """The address of a section of the matrix that the page is about."""
        return f"{name}.html"

    def cell(self, data: str, model: str, defense: str, attack: str) -> str:
        """The address of a cell."""
        folder = f"{self.root}matrices/{self.matrices[defense]}/" if self.matrices else ""
        return f"{folder}cells.html#{anchor(data, model, defense, attack)}"

    def image(self, png: str) -> str:
        """The address of a picture."""
        return self.root + self.press.image(png)


def estimate(number: Number) -> Estimate:
    """A number of the records as the drawings take it."""
    return Estimate(number.value, number.low, number.high)


def depth(number: Number, span: tuple[float, float], direction: str) -> int:
    """How deep the colour of a cell is: the more it leaks, the deeper."""
    low, high = span
    part = min(max((number.value - low) / (high - low), 0.0), 1.0) if high > low else 0.0
    return round((part if direction == "higher leaks more" else 1 - part) * (TINTS - 1))


def _text(path: Path) -> bytes:
    """A file of ours, with the same line ends wherever it was checked out."""
    return "\n".join([*path.read_text(encoding="utf-8").splitlines(), ""]).encode()
