"""What papers report beside what came out here, and where the two protocols differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unveil.harness.figures.published import Published
from unveil.harness.figures.rows import Judge, Results
from unveil.harness.words.names import ACCEPTS_PRIVATE, ATTACK_ACCURACY, TOP_1, TOP_5, UTILITY, Quantity
from unveil.leaderboard.columns import TOP, Column
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import Setup, setups
from unveil.leaderboard.wording import bare, full, number, plural

KNN, FID = "knn_distance", "fid"


@dataclass(frozen=True)
class Pair:
    """One number of a paper, and ours.

    Attributes:
        name: What it is, with who judged.
        published: The paper's, in words.
        here: Ours with its interval, or why there is none.
        inside: Whether the paper's lies in our interval; None where nobody can tell.
    """

    name: str
    published: str
    here: str
    inside: bool | None


@dataclass(frozen=True)
class Beside:
    """One entry of a paper beside ours.

    Attributes:
        defense: As tables call it, and so on for the next three.
        source: Paper and table.
        pairs: Number by number.
        differs: Where the protocols differ: what the plan says of it, and what can be seen in the results.
    """

    defense: str
    attack: str
    model: str
    data: str
    source: str
    pairs: tuple[Pair, ...]
    differs: tuple[str, ...]


def beside(results: Results) -> tuple[Beside, ...]:
    """Everything that the plan says of papers and that a row may answer, in its order."""
    found = setups(results)
    return tuple(one for said in results.published if (one := _beside(said, found, results)) is not None)


def _beside(said: Published, found: Sequence[Setup], results: Results) -> Beside | None:
    mine = [s for s in found if said.target in ("", s.model) and said.data in ("", s.data)]
    setup = next((s for s in mine if (said.defense, said.attack) in s.measured), next(iter(mine), None))
    if setup is None:
        return None
    name = _closed(setup, results.judges)
    judge = next((judge for judge in results.judges if (judge.data, judge.name) == (setup.data, name)), None)
    pairs, seen = _pairs(said, setup, name)
    differs = (*said.differs, *_differences(results, seen, judge))
    return Beside(said.defense, said.attack, setup.model, setup.data, said.source, pairs, differs)


def _pairs(said: Published, setup: Setup, judge: str | None) -> tuple[tuple[Pair, ...], Estimate | None]:
    """Number by number, and what came out for the first of them."""
    wanted = (
        (said.accuracy, _answer(setup, judge, TOP_1), "top-1", "share"),
        (said.top5, _answer(setup, judge, TOP_5), "top-5", "share"),
        (said.knn, _first(setup, KNN, judge), "KNN distance", ""),
        (said.fid, _first(setup, FID, None), "FID", ""),
        (said.utility, _utility(setup), "utility", "share"),
    )
    made = [_pair(said, setup, *one) for one in wanted if one[0] is not None]
    return tuple(pair for pair, _ in made), made[0][1] if made else None


def _pair(
    said: Published, setup: Setup, value: float | None, column: Column | None, name: str, unit: str
) -> tuple[Pair, Estimate | None]:
    assert value is not None
    told = number(value, unit, precise=True) if unit else bare(value, unit)
    if column is None:
        return Pair(name, told, "not measured", None), None
    title = (
        name if column.metric == UTILITY else f"{column.column} by {column.judge}" if column.judge else column.column
    )
    cell = setup.cell(column, said.defense, said.attack)
    if cell.estimate is None:
        state = {"absent": "not run", "unscored": "not scored"}.get(cell.state, cell.state)
        return Pair(title, told, ": ".join([state, *(why.partition("\n")[0] for why in cell.reasons[:1])]), None), None
    low, high = cell.estimate.low, cell.estimate.high
    inside = None if low is None or high is None else low <= value <= high
    return Pair(title, told, full(cell.estimate, column.unit, precise=True), inside), cell.estimate


def _closed(setup: Setup, judges: Sequence[Judge]) -> str | None:
    """The first judge that knows the private people alone, as papers have it; else the first judge."""
    names = [j.name for j in judges if j.data == setup.data]
    open_set = {c.judge for c in setup.columns if c.about.closed}
    return next((name for name in names if name not in open_set), next(iter(names), None))


def _answer(setup: Setup, judge: str | None, what: str) -> Column | None:
    """A judge's answer where it must name a private person, as in papers; its own where it has no other."""
    mine = [c for c in setup.columns if c.metric == ATTACK_ACCURACY and c.judge == judge]
    closed, own = Quantity(quantity=what, closed=True), Quantity(quantity=what)
    return next((c for about in (closed, own) for c in mine if c.about == about), None)


def _first(setup: Setup, metric: str, judge: str | None) -> Column | None:
    return next((c for c in setup.columns if c.metric == metric and c.judge in (judge, None)), None)


def _utility(setup: Setup) -> Column | None:
    return next((c for c in setup.columns if c.metric == UTILITY and c.about == TOP), None)


def _differences(results: Results, seen: Estimate | None, judge: Judge | None) -> Iterator[str]:
    """What can be seen in the results without the paper."""
    if results.scale < 1:
        yield f"a rehearsal here, at scale {results.scale:g}"
    if seen is not None:
        people, pictures = plural(seen.identities, "person", "people"), plural(seen.samples, "picture")
        yield f"here: {people}, {pictures}, {plural(seen.seeds, 'seed')}"
    known = {f.quantity: f.value for f in judge.figures if f.value is not None} if judge else {}
    if judge and (right := known.get(TOP_1, known.get(ACCEPTS_PRIVATE))) is not None:
        yield f"{judge.name} names {number(right, 'share', precise=True)} of held-out private pictures rightly"
