"""Whether results say the same as the plan they came from, and as themselves. Executes nothing; knows no torch.

What is compared here needs no picture: cells, judges and metrics of the plan, counts, means and intervals, and whether
every step that a row names is in its provenance, with the plugin that the plan names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from unveil.harness.figures import recheck
from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.plan.file import Plan
from unveil.harness.running.submission import chain
from unveil.harness.words.errors import listed
from unveil.harness.words.names import ATTACK_ACCURACY, MEAN_OF_JUDGES, PANEL, TOP_1, UTILITY, Quantity

Cell = tuple[str, str, str, str, int]
MOST_CELLS = 100_000  # that are compared name by name


def cells(plan: Plan) -> list[Cell]:
    """The cells of a plan, by the names in its rows."""
    return [
        (data.label, model.label, defense.label, attack.label, seed)
        for seed in plan.seeds
        for data in plan.data
        for model in plan.targets
        for sweep in plan.defenses
        for defense in sweep.variants
        for attack in plan.attacks
    ]


def headline(plan: Plan, figure: Figure) -> bool:
    """Whether a figure leads a page: a judge's first answer, the mean of judges, or the target's accuracy."""
    if figure.metric == PANEL:
        return figure.about == Quantity(quantity=MEAN_OF_JUDGES)
    uses = {part.label: part.use for part in plan.metrics}
    return uses.get(figure.metric) in (ATTACK_ACCURACY, UTILITY) and figure.about == Quantity(quantity=TOP_1)


def where(row: Row) -> str:
    """A row in words."""
    return f"{row.data}, {row.model}, {row.defense} x {row.attack}, seed {row.seed}"


def differences(plan: Plan, results: Results) -> Iterator[str]:
    """Everything in results that contradicts their plan or the rest of them, in words."""
    yield from of_cells(plan, results)
    yield from _judges(plan, results)
    for judge in results.judges:
        yield from (f"judge {judge.name} of {judge.data}: {told}" for told in _figures(judge.figures))
    for row in results.rows:
        if row.status == "done":
            yield from (f"{where(row)}: {told}" for told in _row(plan, row))
            yield from (f"{where(row)}: {told}" for told in chain.differences(plan, row, results.provenance))
    yield from _people(plan, results.rows)
    yield from _plugins(plan, results)


def of_cells(plan: Plan, results: Results) -> Iterator[str]:
    """What of the rows is not one for each cell of the plan; holds for every protocol."""
    defenses = sum(len(one.variants) for one in plan.defenses)
    count = len(plan.seeds) * len(plan.data) * len(plan.targets) * defenses * len(plan.attacks)
    if count > MOST_CELLS:
        yield f"the plan has {count:,} cells, more than anybody computes, and there are {len(results.rows)} rows"
        return
    wanted, found = cells(plan), Counter(row.cell for row in results.rows)
    known = set(wanted)
    told = {
        "cells of the plan have no row": [cell for cell in wanted if cell not in found],
        "rows are of no cell of the plan": [cell for cell in found if cell not in known],
        "cells have more than one row": [cell for cell, count in found.items() if count > 1],
    }
    for what, some in told.items():
        if some:
            yield f"{len(some)} {what}: {listed([' x '.join(map(str, cell)) for cell in some], 3)}"


def _judges(plan: Plan, results: Results) -> Iterator[str]:
    wanted = {(data.label, judge.label) for data in plan.data for judge in plan.evaluators}
    found = Counter((judge.data, judge.name) for judge in results.judges)
    if wrong := sorted(wanted ^ found.keys()) + [pair for pair, count in found.items() if count > 1]:
        names = listed([f"{name} of {data}" for data, name in wrong], 3)
        yield f"the judges are not those of the plan, once each: {names}"
    keys = {row.data: row.keys.get("data", "") for row in results.rows}
    parts = {part.label: part for part in plan.evaluators}
    for judge in results.judges:
        data = results.provenance.get(keys.get(judge.data, ""), {})
        if judge.status != "done" or judge.name not in parts or data.get("kind") != "data":
            continue
        if not chain.judge_steps(parts[judge.name], data, results.provenance):
            yield f"judge {judge.name} of {judge.data} is not in the provenance with its network and seed"


def _row(plan: Plan, row: Row) -> Iterator[str]:
    yield from _figures(row.figures)
    metrics, judges = {part.label for part in plan.metrics}, {part.label for part in plan.evaluators}
    if lost := metrics - {figure.metric for figure in row.figures}:
        yield f"metrics of the plan are missing: {listed(sorted(lost))}"
    if more := {figure.metric for figure in row.figures} - metrics - {PANEL}:
        yield f"figures of metrics that are not in the plan: {listed(sorted(more))}"
    asked = {metric: {f.judge for f in row.figures if f.metric == metric and f.judge} for metric in sorted(metrics)}
    for metric, heard in asked.items():
        if heard and heard != judges:
            yield f"{metric} is by {listed(sorted(heard))}, and the plan has {listed(sorted(judges))}"
    yield from _panel(plan, row)


def _figures(figures: Collection[Figure]) -> Iterator[str]:
    names = Counter(figure.name for figure in figures)
    yield from (f"{name} is there {count} times" for name, count in names.items() if count > 1)
    for figure in figures:
        yield from (f"{figure.name}: {told}" for told in recheck.differences(figure))


def _panel(plan: Plan, row: Row) -> Iterator[str]:
    """The mean of judges is the mean of what they say, where each says one thing of each picture."""
    said = [f for f in row.figures if headline(plan, f) and f.judge is not None]
    fair = {part.label for part in plan.evaluators if part.others != "none"}
    heard = [f for f in said if f.judge in fair] or said
    mean = next((f for f in row.figures if f.metric == PANEL and f.quantity == MEAN_OF_JUDGES), None)
    if mean is None or mean.value is None or len(heard) < 2 or any(not _by_picture(f) for f in heard):
        return
    own = sum(f.value or 0.0 for f in heard) / len(heard)
    if not recheck.same(mean.value, own):
        yield f"{mean.name} is {mean.value:.6g}, and the mean of its judges {own:.6g}"


def _by_picture(figure: Figure) -> bool:
    return figure.value is not None and len(figure.each) == 1 and figure.each[0] * figure.identities == figure.samples


def _people(plan: Plan, rows: Iterable[Row]) -> Iterator[str]:
    """All attacks on a data set have the same people to attack in one seed, as many as the plan says."""
    known: dict[tuple[str, int], frozenset[str]] = {}
    for row in rows:
        for figure in row.figures:
            people = frozenset(figure.per_identity)
            if not people or not headline(plan, figure) or figure.judge is None:
                continue
            first = known.setdefault((row.data, row.seed), people)
            if people != first:
                yield f"{where(row)}: {figure.name} is about {len(people)} people, not the {len(first)} of the others"
            if plan.identities and len(people) > plan.identities:
                yield f"{where(row)}: {figure.name} is about {len(people)} people, and the plan asks {plan.identities}"


def _plugins(plan: Plan, results: Results) -> Iterator[str]:
    """Every plugin of the plan says where its code comes from."""
    told = {(used.kind, used.name) for used in results.plugins if any(used.origins)}
    wanted = {
        *(("datasets", chain.bare(part.use)) for part in plan.data),
        *(("models", chain.bare(part.use)) for part in [*plan.targets, *plan.evaluators]),
        *(("defenses", chain.bare(spec.use)) for part in plan.defenses for spec in part.stack),
        *(("attacks", chain.bare(part.use)) for part in plan.attacks),
        *(("metrics", chain.bare(part.use)) for part in plan.metrics),
    }
    if lost := sorted(f"{kind} {name}" for kind, name in wanted - told):
        yield f"plugins do not say where their code comes from: {listed(lost)}"
