"""The page of a plan, kept beside its results."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unveil.harness.figures.rows import Results
    from unveil.harness.store.artefacts import Store


def render_page(results: Results, store: Store, folder: str, *, private: bool) -> str:
    """Writes the page, unless it is there already, and returns the one that may be shown around."""
    from unveil.leaderboard.page import render, source  # noqa: PLC0415 (scipy and jinja take a while)

    made = hashlib.sha256(f"{source()}{private}{store.get_text(f'{folder}/results.json')}".encode()).hexdigest()
    same = not private and store.get_text(f"{folder}/page.txt") == made
    if same and (known := store.get_text(f"{folder}/leaderboard.html")) is not None:
        return known
    page = render(results)
    store.put_text(f"{folder}/leaderboard.html", render(results, private_pictures=True) if private else page)
    store.put_text(f"{folder}/page.txt", made)
    return page


def place(store: Store, folder: str) -> str:
    """Where the page of a report is."""
    return f"{store.url}/{folder}/leaderboard.html"
