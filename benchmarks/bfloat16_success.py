"""Whether attacks succeed as often in bfloat16: each in both precisions, all else computed once in float32.

    OMP_NUM_THREADS=1 python benchmarks/bfloat16_success.py FOLDER [names, with commas]

The plan is bfloat16_success.toml. Target, priors, students, surrogates and judge are computed in float32 in
``FOLDER/full``; a copy of that store without attacks and what was measured of them then computes the attacks, and
nothing else, in bfloat16. A line for each attack and figure: both values, how many people differ, the paired difference
with its 95 % interval, and the p-value of the project's test, which flips signs over people; and the processor seconds
of the attack itself. The same for the mean over attacks, which is better known than any of them. A run that is stopped
goes on where it was.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from unveil.harness.audit import Audit, prepare
from unveil.harness.figures.rows import Row
from unveil.harness.plan.node import Node
from unveil.harness.running.execute import Outcome, Surroundings
from unveil.harness.running.pools import InlinePool
from unveil.leaderboard.estimates import Estimate, difference, estimate, pool, scored
from unveil.leaderboard.paired import p_value

PLAN = Path(__file__).with_suffix(".toml")
AGAIN = ("attack", "measure")  # kinds of steps that are computed in both stores


class Rounded(InlinePool):
    """Attacks in bfloat16, everything else in float32."""

    def submit(
        self, work: Callable[[Node, Surroundings], Outcome], node: Node, around: Surroundings
    ) -> Future[Outcome]:
        return super().submit(work, node, replace(around, mixed_precision=node.kind == "attack"))


def asked(store: Path, names: str) -> Audit:
    """The plan with these attacks alone; with all, if none is named."""
    audit = prepare(str(PLAN), store)
    cells = [cell for cell in audit.matrix.cells if not names or cell.attack in names.split(",")]
    return replace(audit, matrix=replace(audit.matrix, cells=tuple(cells)))


def computed(audit: Audit, pool: InlinePool) -> dict[str, Row]:
    """Rows by attack."""

    def told(node: Node, outcome: Outcome | None) -> None:
        if outcome is not None and outcome.status != "cached":
            print(f"# {node.label}: {outcome.status}, {outcome.seconds:.0f} s {outcome.error}", flush=True)

    results = audit.results(Surroundings(audit.store.url, threads=1), told, pool)
    return {row.attack: row for row in results.rows if row.status == "done"}


def lent(store: Path, to: Path) -> None:
    """Copies what the other precision shares: all but what any attack of the plan made."""
    own = {f"{node.key}.json" for node in asked(store, "").matrix.nodes() if node.kind in AGAIN}
    for file in store.rglob("*"):
        there = to / file.relative_to(store)
        if file.is_file() and file.name not in own and not there.exists() and "scratch" not in there.parts:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, there)


def scores(row: Row) -> dict[str, Estimate]:
    """Figures of the reconstructions that know their people, by name."""
    return {figure.name: estimate(figure) for figure in row.figures if figure.per_identity and scored(figure)}


def show(full: Mapping[str, Estimate], mixed: Mapping[str, Estimate]) -> None:
    """A line for each figure that both have of the same people: float32, bfloat16, and how they differ."""
    for name in (name for name in full if name in mixed):
        gap = difference(mixed[name], full[name])
        if gap is None:
            continue
        (low, high), values = gap.ends, (full[name].value, mixed[name].value)
        changed = sum(value != 0 for value in gap.per_identity.values())
        print(
            f"  {name:<48} {values[0]:6.3f} {values[1]:6.3f}  {changed} of {len(gap.per_identity)} differ, "
            f"{gap.value:+.3f} [{low:+.3f}, {high:+.3f}]  p = {p_value(gap):.2f}"
        )


def together(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Means over attacks, person by person."""
    each = [scores(row) for row in rows]
    shared = [name for name in each[0] if all(name in one for one in each)]
    return {name: pool([one[name] for one in each], (0, 1), seeds=1) for name in shared}


def main(folder: str, names: str = "") -> None:
    """Prints the table."""
    stores = Path(folder) / "full", Path(folder) / "mixed"
    full, mixed = (asked(store, names) for store in stores)
    plain = computed(full, InlinePool())
    lent(*stores)
    fast = computed(mixed, Rounded())
    both = [name for name in plain if name in fast]
    for name in both:
        for audit, row in ((full, plain[name]), (mixed, fast[name])):
            spent = audit.store.provenance(row.keys["attack"])["profile"]["cpu_s"]
            print(f"{name}: {spent:.1f} s of the processor; {row.facts['precision']}")
        show(scores(plain[name]), scores(fast[name]))
    print("all of them together:")
    show(*(together([rows[name] for name in both]) for rows in (plain, fast)))


if __name__ == "__main__":
    main(*sys.argv[1:])
