"""The numbers of the leading sentence: over what they are averaged, what leaks, and what the targets are good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unveil.leaderboard.board import Board
from unveil.leaderboard.figures import BASELINE
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.paired import ranks
from unveil.leaderboard.wording import full, listing, number, plural, threat
from unveil.leaderboard.worth import Worth

NAMED = 4  # so many defenses fit in a sentence


def against(board: Board, found: Matrix) -> str:
    """What the numbers are averaged over."""
    attacks = plural(len(found.common), threat(board.setup.access, "attack"))
    judges = f"{len(found.column.judges)} fit judges" if found.column.judges else ""
    if len(found.common) > 1:
        return f"Averaged over {attacks}{f' and {judges}' if judges else ''}"
    return f"Against {attacks}{f', averaged over {judges}' if judges else ''}"


def may_leak_least(found: Matrix, among: Sequence[str]) -> list[str]:
    """Those that may leak least."""
    known = found.mean_ranks.keys() == set(among)
    ranked = found.mean_ranks if known else ranks({d: found.means[d] for d in among}, found.column.direction)
    return [d for d, (best, _) in ranked.items() if best == 1]


def of_use(found: Matrix, worth: Mapping[str, Worth]) -> list[str]:
    """Defenses that are better than guessing."""
    return [d for d in found.means if not worth[d].useless]


def _named_defenses(found: Matrix, worth: Mapping[str, Worth]) -> list[str]:
    """All defenses if few; else the undefended target and, of those that are of use, the ones that may leak least."""
    if len(found.means) <= NAMED:
        return list(found.means)
    first = may_leak_least(found, of_use(found, worth))
    return [d for d in found.means if d == BASELINE or d in first]


def leakage(found: Matrix, board: Board) -> str:
    """What leaks with each defense, and what the first judge alone says of it."""
    named = _named_defenses(found, board.worths)
    if not named:
        return "no defended target beats guessing"
    numbers = {d: full(found.means[d], found.column.unit) for d in named}
    if found.column.leads:
        first, *others = numbers
        undefended = " (undefended)" if first == BASELINE else ""
        beside = _beside(board, named)
        parts = [f"{first}{undefended} lets {numbers[first]} of reconstructions be recognised{beside.get(first, '')}"]
        told = [f"{d} {numbers[d]}{beside.get(d, '')}" for d in others]
        return listing([*parts, *(told if len(named) <= NAMED else [_from_to(others, found)])])
    return f"{found.column.metric} {found.column.column} is " + listing([f"{v} for {d}" for d, v in numbers.items()])


def _from_to(among: Sequence[str], found: Matrix) -> str:
    """The ends of what many defenses leak, where all of them would bury the sentence."""
    low, *_, high = sorted(among, key=lambda d: found.means[d].value)
    ends = [f"{full(found.means[d], found.column.unit)} ({d})" for d in (low, high)]
    return f"the {len(among)} defenses that may leak least between {listing(ends)}"


def _beside(board: Board, named: Sequence[str]) -> dict[str, str]:
    """What the first judge alone says, by defense: the reader may have come for it, and it may be the most lenient."""
    alone = board.first
    if alone is None:
        return {}
    judge = alone.column.judge
    known = [d for d in named if d in alone.means]
    who = f"{judge}, the first judge,{'' if judge in board.fit else ' which is not fit,'} alone"
    numbers = {d: full(alone.means[d], alone.column.unit) for d in known}
    return {d: f" ({who if d == known[0] else f'{judge} alone'}: {numbers[d]})" for d in known}


def usefulness(found: Matrix, board: Board) -> str:
    """What the same targets are still good for; empty where that is not known of all."""
    named, column = _named_defenses(found, board.worths), board.setup.utility
    known = [e.value for d in named if column and (e := board.worths[d].utility)]
    if column is None or not known or len(known) < len(named):
        return ""
    if len(known) > NAMED:
        return f"; utility from {number(min(known), column.unit)} to {number(max(known), column.unit)}"
    return f"; utility {listing([number(value, column.unit) for value in known])}"
