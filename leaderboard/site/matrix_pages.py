"""The pages of one matrix: what it found, and a page for each part that only experts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unveil.harness.figures.rows import Results
from unveil.leaderboard.contents import contents, without_names
from unveil.leaderboard.site import spreadsheets
from unveil.leaderboard.site.press import Press
from unveil.leaderboard.site.ranking import RankSet, Shown

INDEX = ("index", "Overview")
PARTS = (
    ("pictures", "Pictures", ""),
    ("scale", "Scale", "scales"),
    ("tradeoff", "At equal utility", "tradeoffs"),
    ("fisher", "Information", "fisher"),
    ("agreement", "Agreement", "panel"),
    ("verification", "Verification", "systems"),
    ("rows", "All rows", ""),
    ("cells", "Cell by cell", ""),
    ("protocol", "Protocol", ""),
)
"""File, name, and what a section must have for the page to be there."""


def pages(press: Press, shown: Shown, sets: Sequence[RankSet], *, private: bool) -> None:
    """Prints them, with the files that hold the same as data.

    Args:
        press: Prints them.
        shown: The matrix.
        sets: The rankings that it is in.
        private: Whether pictures that may not be published are shown.
    """
    folder, exhibit = f"matrices/{shown.slug}", shown.exhibit
    alone = [r for r in sets if len(r.parts) == 1]
    known = {(r.setup.data, r.setup.model, r.setup.access): r.board for r in alone}
    found = contents(exhibit.results, private_pictures=private, known=known)
    tabs = [INDEX, *((file, name) for file, name, part in PARTS if _there(found, part))]
    for part, name in tabs:
        title = exhibit.results.title if part == INDEX[0] else f"{name} · {exhibit.results.title}"
        press.page(
            f"{folder}/{part}.html", "matrix_page.html", **found, title=title, under="matrices.html", part=part,
            tabs=tabs, shown=shown, exhibit=exhibit, sets=sets,
        )  # fmt: skip
    press.files |= {f"{folder}/{name}": data for name, data in _files(exhibit.results).items()}


def _there(found: Mapping[str, Any], part: str) -> bool:
    return not part or any(section[part] for section in found["sections"])


def _files(results: Results) -> dict[str, bytes]:
    """Without pictures, which are files of their own, and without names that may not be shown."""
    bare = without_names(results).model_copy(update={"pictures": ()})
    return {
        "results.json": bare.model_dump_json(indent=1).encode("utf-8", "replace") + b"\n",
        "figures.csv": spreadsheets.figures_csv(results.rows, results.provenance),
        "plan.toml": results.plan.encode("utf-8", "replace"),
    }
