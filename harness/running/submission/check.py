"""Checks results that somebody hands in: what they are worth.

Nothing of a bundle is executed. What is checked is what was read, in a folder that is deleted afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.figures.protocol import PROTOCOL
from unveil.harness.figures.rows import Results
from unveil.harness.figures.standing import Standing
from unveil.harness.plan.file import Plan, parse
from unveil.harness.running import bundles
from unveil.harness.running.reports import Reports
from unveil.harness.running.submission import claims
from unveil.harness.running.submission.make import cover
from unveil.harness.running.submission.rejudged import Rejudged
from unveil.harness.store import bundle
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import PlanError, StoreError

MOST = 50  # differences that are kept; the others are counted


@dataclass(frozen=True)
class Checked:
    """A submission that was checked.

    Attributes:
        name: Of its plan.
        results: What is handed in.
        standing: The verdict.
    """

    name: str
    results: Results
    standing: Standing


def check(source: Path, tell: Callable[[str], None]) -> Checked:
    """Checks a bundle: its plan, its counts, its arithmetic, and all that its pictures give again.

    Args:
        source: The file.
        tell: Told what is being done.

    Raises:
        StoreError: If it is no bundle, or not what it says.
    """
    if not source.is_file():
        raise StoreError(f"{str(source)!r} is no file", "what `unveil submit` writes", "correct the path")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(source, Path(folder) / "bundle.zip"))  # which nobody changes meanwhile
        read = bundle.read(copy, str(source))
        store = Store(f"zip://::{copy}")
        results = bundles.results_of(read)
        return Checked(read.name, results, standing(read, results, _rejudged(read, results, store, tell)))


def receive(source: Path, store: Store, checked: Checked | None = None) -> bundles.Received:
    """Takes a bundle into a store, and keeps beside it what a check came to; see `Reports.judge`.

    Args:
        source: The file.
        store: Where it goes.
        checked: What `check` made of that file; None: its plan, counts and arithmetic are looked at, and no picture.

    Raises:
        StoreError: If it is no bundle, or not what it says or was, or the store cannot be written.
    """
    found: list[Standing] = []

    def judge(read: bundle.Bundle) -> None:
        results = bundles.results_of(read)
        if checked is not None and checked.results != results:
            raise StoreError(f"{str(source)!r} is not the bundle that was checked", "the same file", "check it again")
        found.append(checked.standing if checked is not None else standing(read, results, None))

    received = bundles.receive(source, store, judge)
    Reports(store, received.folder).judge(received.folder, found[0])
    return received


def _rejudged(read: bundle.Bundle, results: Results, store: Store, tell: Callable[[str], None]) -> Rejudged | None:
    """What pictures give again, where there are some and somebody can tell what should come out."""
    plan = _plan(results)
    if not isinstance(plan, Plan) or results.protocol != PROTOCOL or not read.artefacts or plan.scale < 1:
        return None
    from unveil.harness.running.submission.rejudging import rejudge  # noqa: PLC0415 (torch; there may be nothing to judge)

    return rejudge(plan, results, store, tell)


def standing(read: bundle.Bundle, results: Results, rejudged: Rejudged | None) -> Standing:
    """What results are worth.

    Args:
        read: The bundle that they came in.
        results: What is handed in.
        rejudged: What its pictures gave; None if nobody looked at them.

    Raises:
        StoreError: If the bundle's cover cannot be read.
    """
    plan, found = _plan(results), rejudged or Rejudged()
    differences, notes = _compared(read, results, plan)
    if rejudged is None:
        notes.append("no picture was judged again" + ": none came along" * (not read.artefacts))
    if bad := sum(row.status != "done" for row in results.rows):
        notes.append(f"{bad} of {len(results.rows)} cells failed or were blocked, and have no figures")
    differences += found.differences
    wanted = _headline(plan, results) if isinstance(plan, Plan) else set()
    checked = sum(name in found.found.get(cell, ()) for cell, name in wanted)
    whole = bool(wanted) and checked == len(wanted)
    more = [f"and {len(differences) - MOST} more"] if len(differences) > MOST else []
    return Standing(
        state="refuted" if differences else "re-verified" if whole else "self-reported",
        checked=checked,
        of=len(wanted),
        differences=(*differences[:MOST], *more),
        protocol=results.protocol,
        submitter=cover(read).submitter,
        notes=(*notes, *found.notes),
    )


def _compared(read: bundle.Bundle, results: Results, plan: Plan | str) -> tuple[list[str], list[str]]:
    """What contradicts the rest without any picture, and what was not looked at."""
    differences = [] if read.texts.get("plan.toml") == results.plan else ["plan.toml is not the plan of the results"]
    if results.protocol != PROTOCOL:
        other = f"its figures are of protocol {results.protocol}, and this version of unveil computes {PROTOCOL}"
        cells = claims.of_cells(plan, results) if isinstance(plan, Plan) else ()
        return [*differences, *cells], [other]
    if not isinstance(plan, Plan):
        return [*differences, f"its plan cannot be read: {plan}"], []
    if plan.scale != results.scale:
        return [*differences, f"its results are of scale {results.scale:g}, and its plan has {plan.scale:g}"], []
    if plan.scale < 1:
        return differences, [f"a rehearsal at scale {plan.scale:g}: its figures say nothing of the whole plan"]
    return [*differences, *claims.differences(plan, results)], []


def _headline(plan: Plan, results: Results) -> set[tuple[claims.Cell, str]]:
    """Headline figures that have a value, by cell and name."""
    return {
        (row.cell, figure.name)
        for row in results.rows
        if row.status == "done"
        for figure in row.figures
        if figure.value is not None and claims.headline(plan, figure)
    }


def _plan(results: Results) -> Plan | str:
    """The plan of results; in words, why it cannot be read: a plan of another version may say other things."""
    try:
        return parse(results.plan, "the plan of the bundle")
    except PlanError as error:
        return error.what
