"""Rows that a study keeps, and the tables that are made of them."""

from __future__ import annotations

import argparse
import json
import lzma
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy.special import stdtrit

from unveil.leaderboard.estimates import over_people
from unveil.leaderboard.paired import sign_flip

Row = Mapping[str, Any]
Cell = tuple[str, str]
"""Defense and attack."""
Table = list[list[str]]
Told = Mapping[str, Any]
"""A figure: ``value``, ``low``, ``high`` and ``per_identity``."""
Measure = Callable[[Row], Told]


@dataclass(frozen=True)
class Check:
    """A difference that was asked for.

    Attributes:
        name: As the table has it.
        plan: Whose rows.
        more: What should find more.
        less: What should find less.
    """

    name: str
    plan: str
    more: Cell
    less: Cell


@dataclass(frozen=True)
class Study:
    """A folder with a page, plans, and rows in ``results``.

    Attributes:
        folder: Where it is.
        judges: In the order of their columns, the leading one first.
        checks: What was asked.
        mean: Whether the mean of the judges leads, as of people who have no exact judge.
    """

    folder: Path
    judges: tuple[str, ...]
    checks: Sequence[Check]
    mean: bool = False

    def rows(self, plan: str) -> list[Row]:
        """Those of a plan."""
        rows: list[Row] = json.loads(lzma.decompress((self.folder / "results" / f"{plan}.json.xz").read_bytes()))
        return rows

    def keep(self, results: Path, without: Sequence[str]) -> None:
        """Packs the rows of a report that are done, each with the processor seconds of its attack."""
        report = json.loads(results.read_text(encoding="utf-8"))
        kept = [row for row in report["rows"] if row["attack"] not in without and row["status"] == "done"]
        timed = [row | {"seconds": seconds(row, report["provenance"])} for row in kept]
        raw = json.dumps(timed, sort_keys=True).encode()
        packed = lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)
        (self.folder / "results" / f"{results.parent.name}.json.xz").write_bytes(packed)

    def judged(self, rows: Sequence[Row]) -> list[str]:
        """The judges that these rows have."""
        there = {one["judge"] for row in rows for one in row["figures"] if one["metric"] == "attack_accuracy"}
        return [judge for judge in self.judges if judge in there]

    def measures(self, rows: Sequence[Row]) -> dict[str, Measure]:
        """What is told of each row, by the name of its column, the leading one first."""
        judges = self.judged(rows)
        each = {judge: partial(figure, metric="attack_accuracy", judge=judge) for judge in judges}
        if self.mean:
            return {
                "open set": partial(mean, judges=judges, closed=False),
                "closed set": partial(mean, judges=judges, closed=True),
                **each,
            }
        closed = partial(figure, metric="attack_accuracy", judge=judges[0], closed=True)
        return {**each, f"closed set, {judges[0]}": closed, "exact judge": partial(figure, metric="nearest_anchor")}

    def found(self, plan: str) -> Table:
        """What every attack takes of every target of a plan."""
        rows = self.rows(plan)
        measures, several = self.measures(rows), len({row["seed"] for row in rows}) > 1
        first = ["training"] if several else []
        lines = [[*first, "defense", "attack", "utility", *measures, "queries", "seconds"]]
        for row in rows:
            who = [*([str(row["seed"])] if several else []), row["defense"], row["attack"]]
            told_of = [told(measure(row)) for measure in measures.values()]
            lines.append([*who, told(figure(row, "utility")), *told_of, asked(row), took(row)])
        return lines

    def differences(self) -> Table:
        """Paired over people, in points: what the first finds more than the second; trainings are averaged."""
        leading = ["open set", "closed set"] if self.mean else []
        lines = [["difference, points", *leading, *self.judges, f"p, {[*leading, *self.judges][0]}"]]
        for check in self.checks:
            rows = self.rows(check.plan)
            measures = self.measures(rows)
            gaps = {name: apart(rows, check, measures[name]) for name in lines[0][1:-1] if name in measures}
            cells = [between(gaps[name]) if name in gaps else "" for name in lines[0][1:-1]]
            lines.append([check.name, *cells, f"{sign_flip(next(iter(gaps.values()))):.2g}"])
        return lines

    def write(self, described: str | None) -> None:
        """Prints the page with its tables, or writes it; or keeps rows first."""
        parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--write", action="store_true", help="put the tables into README.md")
        parser.add_argument("--keep", nargs="+", type=Path, default=[], help="results.json of reports to keep first")
        parser.add_argument("--without", nargs="+", default=[], help="attacks that are not kept")
        asked_for = parser.parse_args()
        for results in asked_for.keep:
            self.keep(results, asked_for.without)
        page = self.folder / "README.md"
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"<!-- table: ([^>]+) -->", text):
            table = markdown(self.differences() if name == "checks" else self.found(name))
            block = rf"(<!-- table: {name} -->\n).*?(<!-- end -->)"
            text = re.sub(block, lambda m, t=table: m[1] + t + m[2], text, flags=re.DOTALL)
        if asked_for.write:
            page.write_text(text, encoding="utf-8")
        else:
            sys.stdout.write(text)


def seconds(row: Row, provenance: Mapping[str, Any]) -> float:
    """Processor time of an attack and of those that it wraps."""
    made = [provenance[key] for key in set(row["keys"].values()) if provenance[key]["kind"] == "attack"]
    return float(sum(one["profile"]["cpu_s"] for one in made))


def figure(row: Row, metric: str, judge: str | None = None, *, closed: bool = False) -> Told:
    """One of its figures: top-1."""
    found: Told = next(
        one
        for one in row["figures"]
        if (one["metric"], one["quantity"], one["closed"]) == (metric, "top-1", closed)
        and judge in {None, one["judge"]}
    )
    return found


def told(one: Told) -> str:
    """In percent, with its interval."""
    return f"{100 * one['value']:.0f} [{100 * one['low']:.0f}, {100 * one['high']:.0f}]"


def asked(row: Row) -> str:
    """Questions to the target, whoever asked them."""
    return f"{sum(count for what, count in row['budget'].items() if what.endswith(' queries')):,}"


def took(row: Row) -> str:
    """Seconds of a processor; priors and surrogates, which several attacks share, are not among them."""
    return f"{row['seconds']:,.0f}"


def mean(row: Row, judges: Sequence[str], *, closed: bool) -> Told:
    """The mean of the judges, person by person, with its interval."""
    each = [figure(row, "attack_accuracy", judge, closed=closed)["per_identity"] for judge in judges]
    people = {who: fmean(one[who] for one in each) for who in each[0]}
    low, high = over_people(people, (0.0, 1.0))
    return {"value": fmean(people.values()), "low": low, "high": high, "per_identity": people}


def apart(rows: Sequence[Row], check: Check, measure: Measure) -> list[float]:
    """The difference of each person, averaged over trainings."""
    sides = [averaged(rows, cell, measure) for cell in (check.more, check.less)]
    return [sides[0][who] - sides[1][who] for who in sorted(sides[0])]


def averaged(rows: Sequence[Row], cell: Cell, measure: Measure) -> dict[str, float]:
    """What was found of each person, averaged over trainings."""
    mine = [measure(row)["per_identity"] for row in rows if (row["defense"], row["attack"]) == cell]
    return {who: fmean(one[who] for one in mine) for who in mine[0]}


def between(gaps: Sequence[float]) -> str:
    """Their mean with Student's 95 % interval."""
    mean, half = np.mean(gaps), stdtrit(len(gaps) - 1, 0.975) * np.std(gaps, ddof=1) / math.sqrt(len(gaps))
    return f"{100 * mean:+.0f} [{100 * (mean - half):+.0f}, {100 * (mean + half):+.0f}]"


def markdown(table: Table) -> str:
    """As a page has it."""
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]]) + "\n"
