"""Who speaks for a setup: the judges that are fit, on average, since one judge alone may be the most lenient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from unveil.harness.figures.rows import Judge
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import pool, scored
from unveil.leaderboard.figures import Cell, Setup
from unveil.leaderboard.judges import judge_warnings
from unveil.leaderboard.matrices import Matrix, filled
from unveil.leaderboard.scale import Fault
from unveil.leaderboard.worth import Worth


def fit_judges(data: str, judges: Iterable[Judge], faults: Iterable[Fault]) -> frozenset[str]:
    """Names of the judges of a data set that were measured and found fit, by themselves and by the controls.

    Args:
        data: The data set.
        judges: Of all data sets.
        faults: What the controls say.
    """
    voided = {fault.judge for fault in faults if fault.voids}
    measured = [j for j in judges if j.data == data and any(map(scored, j.figures)) and not judge_warnings(j)]
    return frozenset(judge.name for judge in measured) - voided


def headline_first(
    setup: Setup, matrices: Mapping[Column, Matrix], fit: frozenset[str], worth: Mapping[str, Worth]
) -> dict[Column, Matrix]:
    """The matrices, before them the mean over the judges that are fit; where one is, its own; else as they were.

    Args:
        setup: The rows.
        matrices: By figure, the first judge's headline first.
        fit: Names of the judges that are fit.
        worth: Of the setup's targets.
    """
    agreed = [column for column in matrices if column.leads and column.judge in fit]
    if not agreed:
        return dict(matrices)
    if len(agreed) == 1:
        return {agreed[0]: matrices[agreed[0]], **matrices}
    column = replace(agreed[0], judge=None, judges=tuple(c.judge for c in agreed if c.judge))
    cells = {key: _together([matrices[c].cells[key] for c in agreed], column) for key in matrices[agreed[0]].cells}
    return {column: filled(setup, column, cells, worth), **matrices}


def _together(cells: Sequence[Cell], column: Column) -> Cell:
    """Mean over judges of the same pictures; none unless all of them have a number."""
    for cell in cells:
        if cell.estimate is None:
            return cell
    parts = [cell.estimate for cell in cells if cell.estimate]
    seeds = min(part.seeds for part in parts)
    pooled = replace(pool(parts, column.limits, seeds=seeds), samples=min(part.samples for part in parts))
    return Cell("scored", pooled, tuple(dict.fromkeys(r for c in cells for r in c.reasons)), cells[0].seeds)
