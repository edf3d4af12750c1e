"""One sentence, and what it rests on: only what the intervals allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unveil.harness.rows import Judge
from unveil.leaderboard.comparing import ALPHA, Comparison, comparisons, smallest
from unveil.leaderboard.estimates import Estimate, better
from unveil.leaderboard.figures import BASELINE, HEADLINE, Matrix, Setup, floor, judge_warnings, matrix, utility
from unveil.leaderboard.scale import faults
from unveil.leaderboard.wording import bare, full, listing, number, plural, span

Tone = Literal["less", "more", "tie", "fault", "warning", "plain"]
_NAMED = 4  # so many defenses fit in a sentence


@dataclass(frozen=True)
class Point:
    """One finding.

    Attributes:
        tone: ``less`` or ``more`` leakage than the baseline, a ``tie``, a ``fault`` of the benchmark, a ``warning``, or
            plain.
        text: In words.
    """

    tone: Tone
    text: str


@dataclass(frozen=True)
class Verdict:
    """What a setup shows.

    Attributes:
        lead: One sentence.
        points: Findings that it rests on or that limit it, faults of the benchmark first.
    """

    lead: str
    points: tuple[Point, ...]


def verdict(setup: Setup, judges: Sequence[Judge]) -> Verdict:
    """Puts the headline figure of a setup in words.

    Args:
        setup: The rows.
        judges: Evaluators; those of this data set may spoil the verdict.
    """
    if setup.headline is None:
        return Verdict("Nothing was scored, so nothing can be said.", (*_judges(setup, judges), *_broken(setup)))
    found = matrix(setup, setup.headline)
    points = [*_judges(setup, judges), *_basis(found), *_comparisons(found), *_detectable(found), *_best(found)]
    points += [*_useful(setup), *_above_floor(found, setup), *_left_out(found, setup), *_broken(setup)]
    return Verdict(_lead(found, setup, judges), tuple(points))


def _lead(found: Matrix, setup: Setup, judges: Sequence[Judge]) -> str:
    if not found.means:
        return "No attack was scored on every defense, so the defenses cannot be compared."
    averaged = "Averaged over" if len(found.common) > 1 else "Against"
    against = f"{averaged} {plural(len(found.common), 'attack')}"
    return (
        f"{against}, {_numbers(found)}{_usefulness(found, setup)}. {_doubt(found, setup, judges) or _conclusion(found)}"
    )


def _told(found: Matrix) -> list[str]:
    """All defenses if few; else the undefended target and those that may leak least."""
    return [d for d in found.means if len(found.means) <= _NAMED or d == BASELINE or found.mean_ranks[d][0] == 1]


def _numbers(found: Matrix) -> str:
    numbers = {d: full(found.means[d], found.column.unit) for d in _told(found)}
    if (found.column.metric, found.column.column) == HEADLINE:
        first, *others = numbers
        undefended = " (undefended)" if first == BASELINE else ""
        parts = [f"{first}{undefended} lets {numbers[first]} of reconstructions be recognised"]
        parts += [f"{d} {numbers[d]}" for d in others]
        return listing(parts)
    return f"{found.column.metric} {found.column.column} is " + listing([f"{v} for {d}" for d, v in numbers.items()])


def _usefulness(found: Matrix, setup: Setup) -> str:
    if setup.utility is None:
        return ""
    cells = utility(setup, setup.utility)
    known = [number(e.value, setup.utility.unit) for d in _told(found) if (e := cells[d].estimate)]
    if len(known) < len(_told(found)):
        return ""
    return f"; utility {listing(known)}"


def _doubt(found: Matrix, setup: Setup, judges: Sequence[Judge]) -> str:
    """Why the numbers say nothing about any defense, if so."""
    mine = [j for j in judges if (j.data, j.name) == (setup.data, found.column.judge)]
    unfit = [text for j in mine for text in judge_warnings(j)]
    unfit += [fault.text for fault in faults(setup, judges) if fault.judge == found.column.judge and fault.voids]
    if unfit:
        return f"But the judge is not fit to judge ({unfit[0]}), so nothing can be concluded."
    low, base = floor(found, setup), found.means.get(BASELINE)
    if low and base and not better(low, base, found.column.direction):
        return "But that cannot be told apart from pure luck, so nothing can be concluded about any defense."
    return ""


def _conclusion(found: Matrix) -> str:
    others = [d for d in found.means if d != BASELINE]
    if BASELINE not in found.means or not others:
        return "There is no undefended target to compare with." if others else "There is no defense to compare with."
    compared = comparisons(found)
    less, more, ties = ([c.defense for c in compared if c.side == side] for side in ("less", "more", "tie"))
    than = [f"{_leak(less)} less than no defense"] if less else []
    than += [f"{_leak(more)} more than no defense"] if more else []
    told = f"cannot be told apart from {'it' if than else 'no defense'}"
    than += [f"{_some(ties)} {told}: the difference may be chance, so nothing can be concluded"] if ties else []
    return "; ".join(than) + "."


def _leak(names: Sequence[str]) -> str:
    return f"{_some(names)} {'leaks' if len(names) == 1 else 'leak'}"


def _some(names: Sequence[str]) -> str:
    return listing(names) if len(names) <= _NAMED else f"{len(names)} defenses"


def _basis(found: Matrix) -> list[Point]:
    if not found.common:
        return []
    judged = f", judged by {found.column.judge}" if found.column.judge else ""
    named = listing(found.common)
    return [Point("plain", f"Figure: {found.column.metric} {found.column.column}{judged}; attacks: {named}.")]


def _comparisons(found: Matrix) -> list[Point]:
    said = {"less": "leaks less than", "more": "leaks more than", "tie": "cannot be told apart from"}
    return [
        Point(c.side, f"{c.defense} {said[c.side]} the undefended target{_gap(found, c)}.") for c in comparisons(found)
    ]


def _gap(found: Matrix, compared: Comparison) -> str:
    gap, p = compared.gap, compared.p
    if gap is None or p is None:
        return ": their intervals overlap" if compared.side == "tie" else ": their intervals share no point"
    sign = "+" if gap.value > 0 else ""
    text = f"{sign}{_points(found, gap.value)} {span(gap, found.column.unit)}"
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    many = f" after Holm’s correction for {compared.family} comparisons" if compared.family > 1 else ""
    return f" (difference, paired over the same {gap.identities} people: {text}; {chance}{many})"


def _points(found: Matrix, value: float) -> str:
    unit = found.column.unit
    return bare(value, unit) + (" points" if unit == "share" else "")


def _detectable(found: Matrix) -> list[Point]:
    """What this plan could have found, so that nobody takes "not told apart" for "equal"."""
    compared = comparisons(found)
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
            f"Minimum detectable difference with these {people} people: {size}{each if len(known) <= _NAMED else ''}. "
            f"So large must a true difference from no defense be to be found 8 times in 10 "
            f"(at {number(ALPHA, 'share')}, two-sided{corrected}); smaller ones may exist unseen.",
        )
    ]


def _best(found: Matrix) -> list[Point]:
    first = [d for d, (best, _) in found.mean_ranks.items() if best == 1]
    if len(found.means) < 3:
        return []
    if len(first) == 1:
        return [Point("plain", f"{first[0]} leaks least of all {len(found.means)}.")]
    return [Point("tie", f"Tied for leaking least, their intervals overlap: {listing(first)}.")]


def _useful(setup: Setup) -> list[Point]:
    if setup.utility is None:
        return [Point("warning", "Utility was not measured: a useless model leaks nothing.")]
    cells = utility(setup, setup.utility)
    known = {d: e for d, c in cells.items() if (e := c.estimate)}
    if not known:
        return [Point("warning", "Utility was not scored: a useless model leaks nothing.")]
    base = known.get(BASELINE)
    told = []
    for defense, mine in known.items():
        judged = "" if base is None or mine is base else _cost(mine, base)
        told.append(f"{defense} {full(mine, setup.utility.unit)}{judged}")
    return [Point("plain", f"Utility ({setup.utility.column}): {'; '.join(told)}.")]


def _cost(mine: Estimate, base: Estimate) -> str:
    if not mine.apart(base):
        return ", a tie"
    return ", less useful" if mine.value < base.value else ", more useful"


def _above_floor(found: Matrix, setup: Setup) -> list[Point]:
    low = floor(found, setup)
    if low is None:
        return [Point("warning", "No control attack was run: how much pure luck would score is unknown.")]
    text = f"Pure luck (random latents) scores {full(low, found.column.unit)}"
    base = found.means.get(BASELINE)
    if base is None:
        return [Point("plain", text + ".")]
    if better(low, base, found.column.direction):
        return [Point("plain", f"{text}; the attacks on the undefended target do better than that.")]
    return [
        Point(
            "warning", f"{text}; the attacks on the undefended target cannot be told apart from it: they prove nothing."
        )
    ]


def _left_out(found: Matrix, setup: Setup) -> list[Point]:
    attacks = [a for a in setup.attacks if a not in found.common]
    defenses = [d for d in setup.defenses if d not in found.compared]
    told = [f"Left out of the comparison, since no attack on it was scored: {listing(defenses)}."] if defenses else []
    if attacks and found.compared:
        told.append(f"Left out of the averages, since not scored on every defense: {listing(attacks)}.")
    return [Point("warning", text) for text in told]


def _judges(setup: Setup, judges: Sequence[Judge]) -> list[Point]:
    said = [(j.name, text) for j in judges if j.data == setup.data for text in judge_warnings(j)]
    said += [(fault.judge, fault.text) for fault in faults(setup, judges)]
    return [Point("fault", f"Judge {name} {text}: the benchmark, not the defense, is at fault.") for name, text in said]


def _broken(setup: Setup) -> list[Point]:
    broken: dict[str, list[str]] = {"failed": [], "blocked": []}
    for row in setup.rows:
        if row.status != "done":
            seed = f" (seed {row.seed})" if len(setup.seeds) > 1 else ""
            broken[row.status].append(f"{row.defense} × {row.attack}{seed}")
    return [Point("warning", f"{k.capitalize()}: {listing(v)}.") for k, v in broken.items() if v]
