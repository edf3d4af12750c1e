"""One sentence, and what it rests on: only what the intervals allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unveil.harness.words.names import HEADLINE, Quantity
from unveil.leaderboard.board import Board
from unveil.leaderboard.columns import TOP
from unveil.leaderboard.comparing import ALPHA, Comparison, comparisons, smallest
from unveil.leaderboard.complaints import Point, broken_rows, copies, copying, left_out, unfit_judges
from unveil.leaderboard.estimates import Estimate, better
from unveil.leaderboard.figures import BASELINE, Setup
from unveil.leaderboard.judges import judge_warnings
from unveil.leaderboard.lead import NAMED, against, leakage, may_leak_least, of_use, usefulness
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.wording import bare, full, listing, number, plural, points, span, threat
from unveil.leaderboard.worth import DEAR, Worth, useless_sentence, utility_sentence

CLOSED = Quantity(quantity=HEADLINE[1], closed=True)  # of an open-set judge
_FEWEST = 6  # with fewer people no signs of their differences can reach 5 %


@dataclass(frozen=True)
class Verdict:
    """What a setup shows.

    Attributes:
        lead: One sentence.
        points: Findings that it rests on or that limit it, faults of the benchmark first.
    """

    lead: str
    points: tuple[Point, ...]


def verdict(board: Board) -> Verdict:
    """Puts the headline figure of a setup in words."""
    setup, found, worth = board.setup, board.headline, board.worths
    if found is None:
        return Verdict("Nothing was scored, so nothing can be said.", (*unfit_judges(board), *broken_rows(setup)))
    # With none, but for those that are useless: what they leak would look like praise.
    compared = [c for c in comparisons(found) if not worth[c.defense].useless]
    points = [*copies(setup), *unfit_judges(board), *_basis(found, setup), *_otherwise(board, found)]
    points += [*_useless(found, worth), *comparison_points(found, compared, worth), *_detectable(found, compared)]
    points += [*_few(found), *_best(found, worth), *_useful(board)]
    points += [*_above_floor(found), *left_out(found, setup), *broken_rows(setup)]
    return Verdict(_lead(board, found, compared), tuple(points))


def _lead(board: Board, found: Matrix, compared: Sequence[Comparison]) -> str:
    if not found.means:
        return "No attack was scored on every defense, so the defenses cannot be compared."
    concluded = doubt(board, found) or _conclusion(found, compared, board.worths)
    return f"{against(board, found)}, {leakage(found, board)}{usefulness(found, board)}. {concluded}"


def doubt(board: Board, found: Matrix) -> str:
    """Why the numbers say nothing about any defense, in a sentence; empty if they do."""
    if thieves := list(copying(board.setup)):
        verb = "returns" if len(thieves) == 1 else "return"
        return f"But {listing(thieves)} {verb} private pictures themselves, so nothing can be concluded."
    if BASELINE in found.means and board.worths[BASELINE].useless:
        return "But the undefended target itself is no better than guessing, so nothing can be concluded."
    mine = [j for j in board.judges if (j.data, j.name) == (board.setup.data, found.column.judge)]
    unfit = [text for j in mine for text in judge_warnings(j)]
    unfit += [fault.text for fault in board.faults if fault.judge == found.column.judge and fault.voids]
    if unfit:
        return f"But the judge is not fit to judge ({unfit[0]}), so nothing can be concluded."
    low = found.floor
    if low and BASELINE in found.means and not _above_luck(found, low):
        return "But that cannot be told apart from pure luck, so nothing can be concluded about any defense."
    return ""


def _above_luck(found: Matrix, low: Estimate) -> bool:
    """Whether the undefended target surely gives something away: on average, or to any attack by itself."""
    return better(low, found.means[BASELINE], found.column.direction) or len(_lucky(found, low)) < len(found.common)


def _lucky(found: Matrix, low: Estimate) -> list[str]:
    """Attacks that on the undefended target cannot be told apart from luck."""
    alone = {a: found.cells[BASELINE, a].estimate for a in found.common}
    return [a for a, e in alone.items() if e is None or not better(low, e, found.column.direction)]


def _conclusion(found: Matrix, compared: Sequence[Comparison], worth: Mapping[str, Worth]) -> str:
    others = [d for d in found.means if d != BASELINE]
    if BASELINE not in found.means or not others:
        return "There is no undefended target to compare with." if others else "There is no defense to compare with."
    less, more, ties = ([c.defense for c in compared if c.side == side] for side in ("less", "more", "tie"))
    cheap, dear = [d for d in less if not worth[d].dear], [d for d in less if worth[d].dear]
    than = [f"{_leak(cheap)} less than no defense"] if cheap else []
    than += [f"{_leak(dear)} less than no defense, but at a price of {_prices(dear, worth)} of utility"] if dear else []
    than += [f"{_leak(more)} more than no defense"] if more else []
    tied = f"cannot be told apart from {'it' if than else 'no defense'}"
    than += [f"{_some(ties)} {tied}: the difference may be chance, so nothing can be concluded"] if ties else []
    useless = [d for d in others if worth[d].useless]
    it, leaks = ("is", "it leaks") if len(useless) == 1 else ("are", "they leak")
    than += [f"{_some(useless)} {it} useless, no better than guessing, so what {leaks} says nothing"] if useless else []
    return "; ".join(than) + "."


def _prices(names: Sequence[str], worth: Mapping[str, Worth]) -> str:
    """One price with its interval, or the lowest and the highest."""
    losses = sorted(loss.value for d in names if (loss := worth[d].loss))
    if len(losses) == 1:
        return worth[names[0]].price
    return f"{bare(losses[0], 'share')} to {bare(losses[-1], 'share')} points"


def _leak(names: Sequence[str]) -> str:
    return f"{_some(names)} {'leaks' if len(names) == 1 else 'leak'}"


def _some(names: Sequence[str]) -> str:
    return listing(names) if len(names) <= NAMED else f"{len(names)} defenses"


def _basis(found: Matrix, setup: Setup) -> list[Point]:
    if not found.common:
        return []
    judged = f", {found.column.judged}" if found.column.judged else ""
    named, kind = listing(found.common), threat(setup.access, "attacks")
    return [Point("plain", f"Figure: {found.column.metric} {found.column.column}{judged}; {kind}: {named}.")]


def _otherwise(board: Board, found: Matrix) -> list[Point]:
    """What the undefended target gives away by other judges, and by the first if it must name a person."""
    if not found.column.leads or BASELINE not in found.means:
        return []
    opinions, first = [], (board.first or found).column.judge
    for c, other in board.matrices.items():
        same = c.metric == HEADLINE[0] and c.judge and (c.about == TOP) != (c.judge == first)
        if same and c.about in (TOP, CLOSED) and (e := other.means.get(BASELINE)):
            made = f" if it had to name a private person ({CLOSED})" if c.about == CLOSED else ""
            opinions.append(f"{full(e, c.unit)} by {c.judge}{made}")
    return [Point("plain", f"The same pictures of the undefended target: {listing(opinions)}.")] if opinions else []


def _useless(found: Matrix, worth: Mapping[str, Worth]) -> list[Point]:
    return [Point("warning", useless_sentence(d, worth[d])) for d in found.means if worth[d].useless]


def comparison_points(found: Matrix, compared: Sequence[Comparison], worth: Mapping[str, Worth]) -> list[Point]:
    """How each of these defenses compares with none, in words."""
    said = {"less": "leaks less than", "more": "leaks more than", "tie": "cannot be told apart from"}
    points = []
    for c in compared:
        price = f" It costs {worth[c.defense].price} of utility." if worth[c.defense].dear else ""
        text = f"{c.defense} {said[c.side]} the undefended target{_gap(found, c)}.{price}"
        points.append(Point(c.side, text))
    return points


def _gap(found: Matrix, compared: Comparison) -> str:
    gap, p = compared.gap, compared.p
    if gap is None or p is None:
        return ": their intervals overlap" if compared.side == "tie" else ": their intervals share no point"
    sign = "+" if gap.value > 0 else ""
    unit = found.column.unit
    text = f"{sign}{points(gap, unit)}{' points' if unit == 'share' else ''} {span(gap, unit)}"
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    many = f" after Holm’s correction for {compared.family} comparisons" if compared.family > 1 else ""
    return f" (difference, paired over the same {gap.identities} people: {text}; {chance}{many})"


def _points(found: Matrix, value: float) -> str:
    unit = found.column.unit
    return bare(value, unit) + (" points" if unit == "share" else "")


def _detectable(found: Matrix, compared: Sequence[Comparison]) -> list[Point]:
    """What this plan could have found, so that nobody takes "not told apart" for "equal"."""
    known = smallest(compared)
    if not known:
        return []
    least, most = bare(min(known.values()), found.column.unit), _points(found, max(known.values()))
    each = f" ({', '.join(f'{d} {bare(v, found.column.unit)}' for d, v in known.items())})" if len(known) > 1 else ""
    size = most if most.split()[0] == least else f"{least} to {most}, depending on the defense"
    people = max(c.gap.identities for c in compared if c.gap)
    corrected = "; more with the correction for several comparisons" if len(known) > 1 else ""
    return [
        Point(
            "plain",
            f"Minimum detectable difference with these {people} people: {size}{each if len(known) <= NAMED else ''}. "
            f"So large must a true difference from no defense be to be found 8 times in 10 "
            f"(at {number(ALPHA, 'share')}, two-sided{corrected}); smaller ones may exist unseen.",
        )
    ]


def _few(found: Matrix) -> list[Point]:
    people = max((e.identities for e in found.means.values()), default=_FEWEST)
    if not 0 < people < _FEWEST:
        return []
    return [
        Point(
            "warning",
            f"Only {plural(people, 'person', 'people')}: too few to show a difference between defenses, however large, "
            f"since even five people all agree by chance once in 16 times. The intervals are over people, and so wide.",
        )
    ]


def _best(found: Matrix, worth: Mapping[str, Worth]) -> list[Point]:
    """Who leaks least of those that are of use; where that is dearly bought, also who does at a low price."""
    if len(found.means) < 3 or len(usable := of_use(found, worth)) < 2:
        return []
    least = _least(found, usable, f"all {len(usable)}" + (" of use" if len(usable) < len(found.means) else ""), worth)
    cheap = [d for d in usable if not worth[d].dear]
    if len(cheap) < 2 or not any(worth[d].dear for d in may_leak_least(found, usable)):
        return [least]
    limit = f"the {len(cheap)} that do not surely cost more than {bare(DEAR, 'share')} points of utility"
    return [least, _least(found, cheap, limit, worth)]


def _least(found: Matrix, among: Sequence[str], whom: str, worth: Mapping[str, Worth]) -> Point:
    first = may_leak_least(found, among)
    named = listing([f"{d} (at a price of {worth[d].price})" if worth[d].dear else d for d in first])
    if len(first) == 1:
        return Point("plain", f"Of {whom}, {named} leaks least.")
    return Point("tie", f"Of {whom}, tied for leaking least, since tests of all pairs leave it open: {named}.")


def _useful(board: Board) -> list[Point]:
    if board.setup.utility is None:
        return [Point("warning", "Utility was not measured: a useless model leaks nothing.")]
    if sentence := utility_sentence(board.setup, board.worths):
        return [Point("plain", sentence)]
    return [Point("warning", "Utility was not scored: a useless model leaks nothing.")]


def _above_floor(found: Matrix) -> list[Point]:
    low = found.floor
    if low is None:
        return [Point("warning", "No control attack was run: how much pure luck would score is unknown.")]
    text = f"Pure luck (random latents) scores {full(low, found.column.unit)}"
    if BASELINE not in found.means:
        return [Point("plain", text + ".")]
    if not _above_luck(found, low):
        powerless = "the attacks on the undefended target cannot be told apart from it: they prove nothing"
        return [Point("warning", f"{text}; {powerless}.")]
    if better(low, found.means[BASELINE], found.column.direction):
        text += "; the attacks on the undefended target do better than that"
    return [Point("plain", text + "."), *_powerless(_lucky(found, low))]


def _powerless(lucky: list[str]) -> list[Point]:
    """Attacks that only pull the averages down."""
    if not lucky:
        return []
    they = "it proves nothing and dilutes" if len(lucky) == 1 else "they prove nothing and dilute"
    text = f"{listing(lucky)} cannot be told apart from pure luck on the undefended target: {they} the averages."
    return [Point("warning", text)]
