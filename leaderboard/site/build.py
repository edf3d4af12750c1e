"""Matrices in, the files of a site out: the same matrices give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Results
from unveil.harness.figures.standing import FILE as STANDING
from unveil.harness.figures.standing import written
from unveil.leaderboard.evidence import Excerpt, evidence
from unveil.leaderboard.site import matrix_pages, records, spreadsheets, subject_pages
from unveil.leaderboard.site.people import Show, prepared
from unveil.leaderboard.site.press import Press
from unveil.leaderboard.site.ranking import RankSet, named, rank_sets
from unveil.leaderboard.wording import THREATS, plural

TITLE = "How much do classifiers give away?"


def build(exhibits: Iterable[Exhibit], *, title: str = TITLE, people: Show = "withheld") -> dict[str, bytes]:
    """The files of a site, by path.

    Args:
        exhibits: What is shown; the first of a name keeps the address that the name gives.
        title: Of the site.
        people: What becomes of pictures of real people: left out, blurred for good, or shown.

    Returns:
        Contents by path, with ``/`` between folders.
    """
    shown = named(Exhibit(one.name, prepared(one.results, people), one.standing) for one in exhibits)
    sets, private = rank_sets(shown), people == "shown"
    seen = private and any(not p.publishable for one in shown for p in one.exhibit.results.pictures)
    press = Press(title, private=seen)
    record = records.SiteRecord(
        title=title, rank_sets=tuple(map(records.rank_set, sets)), matrices=tuple(map(records.matrix, shown))
    )
    index(press, sets, record, private=private)
    for one in shown:
        mine = [r for r in sets if one in (part.shown for part in r.parts)]
        matrix_pages.pages(press, one, mine, private=private)
        if one.exhibit.standing:
            press.files[f"matrices/{one.slug}/{STANDING}"] = written(one.exhibit.standing).encode()
    subject_pages.pages(press, sets, private=private)
    press.page("matrices.html", "matrices.html", title="Matrices", matrices=record.matrices)
    press.page("how-to-read.html", "how-to-read.html", title="How to read this")
    _downloads(press, record)
    press.assets()
    return press.files


def index(press: Press, sets: Sequence[RankSet], record: records.SiteRecord, *, private: bool) -> None:
    """Prints the page with all rankings.

    Args:
        press: Prints it.
        sets: The rankings.
        record: The same as data.
        private: Whether pictures that may not be published are shown.
    """
    made = [
        {"record": told, "shown": [part.shown for part in r.parts], "strip": _strip(r, private), "span": _span(r)}
        for r, told in zip(sets, record.rank_sets, strict=True)
    ]
    press.page("index.html", "index.html", title=record.title, lead=_lead(record), sets=made, filters=_filters(record))


def _strip(found: RankSet, private: bool) -> Excerpt | None:
    """The undefended target, or whatever there is, under the attack that gets most out of it."""
    shown = [picture for picture in found.pictures if picture.publishable or private]
    return next(iter(evidence(found.board, shown)), None)


def _span(found: RankSet) -> tuple[float, float]:
    return found.board.headline.span if found.board.headline else (0.0, 1.0)


def _lead(record: records.SiteRecord) -> str:
    rows = [row for one in record.rank_sets for row in one.rows]
    counts = [
        plural(len({row.family for row in rows}), "defense"),
        plural(len({row.attack for row in rows} - {None}), "attack"),
        plural(len(record.matrices), "matrix", "matrices"),
        plural(len(record.rank_sets), "ranking"),
    ]
    return f"{', '.join(counts[:-1])}, in {counts[-1]}."


def _filters(record: records.SiteRecord) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """What the index can be filtered by: name, label, and values with what a reader calls them."""
    sets = record.rank_sets
    rows = [row for one in sets for row in one.rows]
    threats = {one.access for one in sets if one.access}
    return [
        ("data", "Data", _same(one.data for one in sets)),
        ("target", "Target", _same(one.model for one in sets)),
        ("threat", "Threat model", [(str(access), name) for access, name in THREATS.items() if access in threats]),
        ("attack", "Attack", _same(row.attack for row in rows if row.attack)),
        ("family", "Defense", _same(row.family for row in rows)),
        ("protocol", "Protocol", [(str(p), str(p or "older")) for p in sorted({one.protocol for one in sets})]),
        ("state", "Checked", _same(state for one in record.matrices for state in (one.state,))),
    ]


def _same(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in dict.fromkeys(values)]


def _downloads(press: Press, record: records.SiteRecord) -> None:
    """The site as data, its schemas, how to cite it, and the page that says so."""
    files = {
        "site.json": record.model_dump_json(indent=1).encode("utf-8", "replace") + b"\n",
        "rankings.csv": spreadsheets.ranking_csv(record),
        "site.schema.json": records.schema(records.SiteRecord),
        "results.schema.json": records.schema(Results),
        "CITATION.cff": _citation(record.title).encode("utf-8", "replace"),
    }
    press.files |= files
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    told = [
        ("site.json", "All rankings, number by number", "site.schema.json", sums["site.json"]),
        ("rankings.csv", "The same for a spreadsheet", "", sums["rankings.csv"]),
    ]
    for one in record.matrices:
        file = f"matrices/{one.slug}/results.json"
        sha = hashlib.sha256(press.files[file]).hexdigest()
        told.append((file, f"Every figure of {one.title}", "results.schema.json", sha))
    press.page("cite.html", "cite.html", title="Cite and download", downloads=told, bibtex=_bibtex(record, sums))


def _bibtex(record: records.SiteRecord, sums: dict[str, str]) -> str:
    return "\n".join([
        "@misc{unveil_leaderboard,",
        f"  title = {{{_plain(record.title)}}},",
        f"  note = {{Leaderboard made with unveil {record.unveil}, site.json SHA-256 {sums['site.json'][:16]}}},",
        "  howpublished = {the address of the ranking},",
        "}",
    ])  # fmt: skip


def _plain(text: str) -> str:
    """What BibTeX takes for itself, taken out."""
    return "".join(c for c in text if c not in "{}\\%")


def _citation(title: str) -> str:
    message = "Cite the ranking that a number is from by its address, with the SHA-256 of site.json."
    told: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": message,
        "title": title,
        "type": "dataset",
        "authors": [{"name": "The contributors to this leaderboard"}],
    }
    return "".join(f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in told.items())
