"""What a page of one matrix is made of: every section, computed once, as its templates want it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from unveil.harness.figures.rows import Picture, Results
from unveil.harness.words.names import Access, Direction
from unveil.leaderboard import fisher, wording
from unveil.leaderboard.adaptive import beside
from unveil.leaderboard.agreement import panel
from unveil.leaderboard.board import Board, board
from unveil.leaderboard.columns import Column
from unveil.leaderboard.complaints import Point
from unveil.leaderboard.evidence import evidence, png_size
from unveil.leaderboard.figures import Setup, broken, setups
from unveil.leaderboard.outside import outside
from unveil.leaderboard.precisions import mixed_precisions
from unveil.leaderboard.published import beside as as_published
from unveil.leaderboard.scale import scales
from unveil.leaderboard.scatter import scatter
from unveil.leaderboard.threads import mixed_threads
from unveil.leaderboard.tradeoff import tradeoffs
from unveil.leaderboard.verdict import verdict
from unveil.leaderboard.verification import systems

Boards = Mapping[tuple[str, str, Access | None], Board]
"""What was computed already, by data set, target model and threat model."""


def contents(results: Results, *, private_pictures: bool, known: Boards = MappingProxyType({})) -> dict[str, Any]:
    """The sections of a matrix, by the names that templates know.

    Args:
        results: Everything to show.
        private_pictures: Also show pictures, and names of files, that the data set does not allow to publish.
        known: Boards of the same rows, which take the longest to compute.
    """
    results = results if private_pictures else without_names(results)
    shown = [p for p in results.pictures if p.publishable or private_pictures]
    columns = _columns(results)
    return {
        "results": results,
        "sections": _sections(results, shown, known),
        "published": as_published(results),
        "pictures": [_picture(p, private_pictures) for p in results.pictures],
        "private": any(not p.publishable for p in shown),
        "columns": columns,
        "compared": [c for c in columns if c.direction != Direction.DESCRIBES],
        "other_keys": _other_keys(results),
        "counts": _counts(results),
    }


def without_names(results: Results) -> Results:
    """Names of files are names of people: they stay off a page of data that may not be published."""
    shown = {name: one if one.publishable else one.without_names() for name, one in results.accounts.items()}
    return results.model_copy(update={"accounts": shown})


def _sections(results: Results, shown: Sequence[Picture], known: Boards) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for i, setup in enumerate(setups(results)):
        again = any((s["setup"].data, s["setup"].model) == (setup.data, setup.model) for s in made)
        # controls stand beside every threat model, but cell by cell only once
        found = known.get((setup.data, setup.model, setup.access)) or board(setup, results.judges)
        made.append(_section(i, found, results, shown) | {"by_cell": setup.attacks + (() if again else setup.controls)})
    return made


def _section(index: int, found: Board, results: Results, shown: Sequence[Picture]) -> dict[str, Any]:
    setup = found.setup
    told = verdict(found)
    matrices = list(found.matrices.values())
    return {
        "id": f"setup{index}",
        "setup": setup,
        "verdict": replace(told, points=(*told.points, *_not_alike(setup, results))),
        "evidence": evidence(found, shown),
        "withheld": [p for p in results.pictures if p not in shown and (p.data, p.model) == (setup.data, setup.model)],
        "matrices": matrices,
        "beside": beside(found),
        "useful": list(found.useful.items()),
        "plot": scatter(found),
        "broken": broken(setup),
        "tradeoffs": tradeoffs(setup),
        "fisher": fisher.section(setup),
        "scales": scales(setup, matrices, results.judges),
        "panel": panel(setup),
        "systems": systems(setup),
        "outside": outside(setup),
    }


def _not_alike(setup: Setup, results: Results) -> list[Point]:
    return [*mixed_threads(setup, results.provenance), *mixed_precisions(setup, results.provenance)]


def _picture(picture: Picture, private: bool) -> dict[str, Any]:
    shown = picture.publishable or private
    return {"picture": picture, "shown": shown, "size": png_size(picture.png) if shown else None}


def _columns(results: Results) -> list[Column]:
    figures = [f for row in results.rows for f in row.figures if not fisher.is_fisher(f)]
    return list({f.name: Column.of(f) for f in figures}.values())


def _other_keys(results: Results) -> Mapping[str, Mapping[str, Any]]:
    """Provenance of what belongs to no single cell, such as evaluators."""
    used = {key for row in results.rows for key in row.keys.values()}
    return {key: facts for key, facts in results.provenance.items() if key not in used}


def _counts(results: Results) -> list[str]:
    rows = results.rows
    by_status = {s: sum(r.status == s for r in rows) for s in ("done", "failed", "blocked")}
    counts = [wording.plural(len(rows), "cell") + ": " + ", ".join(f"{n} {s}" for s, n in by_status.items() if n)]
    people = {f.identities for r in rows for f in r.figures if f.identities}
    counts += [wording.plural(len({r.seed for r in rows}), "seed")]
    counts += [wording.plural(max(people), "person", "people") + " attacked"] if people else []
    counts += [wording.plural(len(results.judges), "judge")] if results.judges else []
    return counts if rows else ["no cells"]
