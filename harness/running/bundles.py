"""What of a matrix goes into a bundle, and what comes out of one. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from unveil.harness.figures.rows import Results
from unveil.harness.running.reports import Reports
from unveil.harness.store import bundle
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import StoreError


def publishable(results: Results) -> bool:
    """Whether everything behind these results may be shown: no picture and no name of anybody who exists."""
    accounts = results.accounts.values()
    return bool(accounts) and all(one.publishable for one in accounts) and all(p.publishable for p in results.pictures)


def bare(results: Results) -> Results:
    """Results without pictures that may not be published, and without names of files, which are names of people."""
    accounts = {name: one if one.publishable else one.without_names() for name, one in results.accounts.items()}
    pictures = tuple(picture for picture in results.pictures if picture.publishable)
    return results.model_copy(update={"accounts": accounts, "pictures": pictures})


def told(results: Results, page: Callable[[Results], str]) -> dict[str, str]:
    """The texts of a bundle of these results."""
    return {
        "plan.toml": results.plan,
        "results.json": results.model_dump_json(indent=1),
        "leaderboard.html": page(results),
    }


def export(
    out: Path, store: Store, name: str, results: Results, page: Callable[[Results], str], *, private: bool
) -> bundle.Packed:
    """Writes a bundle of one matrix.

    Args:
        out: The file.
        store: Where its artefacts are.
        name: Of the plan.
        results: Of the plan.
        page: Renders them without private pictures.
        private: Whether artefacts go in, even if they show people who exist. Without, and if they do, the bundle holds
            plan, results and page only.

    Raises:
        StoreError: If something is missing or damaged, or the file cannot be written.
    """
    whole = private or publishable(results)
    texts = told(results if whole else bare(results), page)
    return bundle.write(out, store, name, results.provenance if whole else (), texts)


@dataclass(frozen=True)
class Received:
    """What came out of a bundle.

    Attributes:
        folder: Of its report in the store.
        artefacts: How many came with it.
        results: Of the plan.
    """

    folder: str
    artefacts: int
    results: Results


def receive(source: Path, store: Store, check: Callable[[bundle.Bundle], object] = lambda _: None) -> Received:
    """Takes a bundle into a store, beside what is there. The page in it is left alone: it is made anew from results.

    Args:
        source: The file.
        store: Where it goes.
        check: Sees the bundle before anything is written, and raises if something else is wrong with it.

    Raises:
        StoreError: If it is no bundle, or not what it says, or the store cannot be written.
    """
    store.check()
    read = bundle.bring_in(source, store, lambda one: (results_of(one), check(one)))
    results = results_of(read)
    mark = hashlib.sha256(read.texts["results.json"].encode()).hexdigest()
    return Received(Reports(store, read.name).receive(results, mark), len(read.artefacts), results)


def results_of(read: bundle.Bundle) -> Results:
    """The results in a bundle.

    Raises:
        StoreError: If it has none.
    """
    try:
        return Results.model_validate_json(read.texts["results.json"])
    except (KeyError, ValidationError):
        raise StoreError(
            "the bundle has no results that this version of unveil can read", "results.json", bundle.TODO
        ) from None
