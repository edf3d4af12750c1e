"""What every template knows: text is escaped, a missing name is an error, links are found by what they are about."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from unveil.harness.figures.published import NOT_REPRODUCED
from unveil.leaderboard import fisher, spending, strips, wording
from unveil.leaderboard.agreement import title as opinion_title
from unveil.leaderboard.curves import curves
from unveil.leaderboard.figures import BASELINE, CONTROLS
from unveil.leaderboard.judges import CEILING_MIN, FLOOR_MAX, is_ceiling, is_floor, judge_warnings
from unveil.leaderboard.roc import roc
from unveil.leaderboard.tradeoff import COSTS, comparison, span_of
from unveil.leaderboard.verification import is_system

TEMPLATES = Path(__file__).parent / "templates"


def environment(*folders: Path) -> Environment:
    """Templates of these folders and of the page, with the names that they use.

    Args:
        folders: Further folders, looked at first.
    """
    env = strict(*folders, TEMPLATES)
    env.globals |= {
        "BASELINE": BASELINE,
        "CEILING_MIN": CEILING_MIN,
        "CONTROLS": CONTROLS,
        "FLOOR_MAX": FLOOR_MAX,
        "NOT_REPRODUCED": NOT_REPRODUCED,
        "COSTS": COSTS,
        "anchor": anchor,
        "curves": curves,
        "span_of": span_of,
        "comparison_text": comparison,
        "fisher": fisher,
        "is_ceiling": is_ceiling,
        "is_floor": is_floor,
        "is_system": is_system,
        "judge_warnings": judge_warnings,
        "opinion_title": opinion_title,
        "roc": roc,
        "spending": spending,
        "strips": strips,
        "wording": wording,
    }
    env.filters["breakable"] = breakable
    return env


def strict(*folders: Path) -> Environment:
    """Templates of these folders: text is escaped, and a missing name is an error."""
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def policy(**own: str) -> str:
    """The content policy of a file that asks for nothing: no request, and no code but its own.

    Args:
        own: The text of its ``style`` and of its ``script``, as far as it has them.
    """
    hashes = [
        f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for kind, text in own.items()
    ]
    return "; ".join(["default-src 'none'", "img-src data:", *hashes, "base-uri 'none'", "form-action 'none'"])


def breakable(text: object) -> Markup:
    """Lets a long name break at its joints.

    >>> breakable("a_b<c>")
    Markup('a_<wbr>b&lt;c&gt;')
    """
    safe = str(escape(str(text)))
    for joint in ("_", "+", "/"):
        safe = safe.replace(joint, f"{joint}<wbr>")
    return Markup(safe)  # noqa: S704 - escaped above


def anchor(*parts: object) -> str:
    """A short id for a link inside the page, whatever the names contain."""
    return "c" + hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:10]


class OnePage:
    """Where links lead on a page that holds everything, and what its pictures are."""

    alone: ClassVar[bool] = False  # whether each section has a page of its own

    def section(self, name: str) -> str:
        """The address of a section."""
        return f"#{name}"

    def cell(self, *names: str) -> str:
        """The address of a cell, by data set, model, defense and attack."""
        return f"#{anchor(*names)}"

    def image(self, png: str) -> str:
        """The address of a base64 PNG."""
        return f"data:image/png;base64,{png}"
