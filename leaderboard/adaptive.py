"""Attacks that know of the defense beside those that do not: where they part, the fixed number flatters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from unveil.harness.words.names import Direction
from unveil.leaderboard.board import Board
from unveil.leaderboard.estimates import Estimate, difference
from unveil.leaderboard.figures import BASELINE, Setup
from unveil.leaderboard.paired import clear, holm, p_value

SAYS = "adaptive, against "  # begins the note of a row that tells what was done otherwise
Pair: TypeAlias = tuple[str, str, str]
"""A defense, and the names of a fixed attack and the one that knows of the defense."""

NOTHING = "the attack itself: nothing is known here against this defense"


@dataclass(frozen=True)
class Beside:
    """A fixed attack and the one that knows of the defense.

    Attributes:
        defense: The defense.
        attack: The fixed attack.
        adaptive: The other one.
        how: What it does otherwise, in words.
        fixed: The headline figure of the fixed attack.
        known: That of the adaptive one.
        gap: The second minus the first, person by person; None without the same people.
        p: Of no difference, corrected for all pairs; None without the same people, or where both are one attack.
        masked: Whether the adaptive attack takes clearly more.
    """

    defense: str
    attack: str
    adaptive: str
    how: str
    fixed: Estimate
    known: Estimate
    gap: Estimate | None
    p: float | None
    masked: bool


def beside(board: Board) -> tuple[Beside, ...]:
    """All pairs with numbers, by the headline; empty without an adaptive attack."""
    found = board.headline
    if found is None:
        return ()
    pairs, one_attack = _pairs(board.setup)
    numbers = {(d, a, b): (found.cells[d, a].estimate, found.cells[d, b].estimate) for d, a, b in pairs}
    both = {pair: (one, two) for pair, (one, two) in numbers.items() if one is not None and two is not None}
    gaps = {pair: difference(two, one) for pair, (one, two) in both.items() if pair not in one_attack}
    raw = {pair: p_value(gap) for pair, gap in gaps.items() if gap}
    p = dict(zip(raw, holm(list(raw.values())), strict=True))
    leaks = found.column.direction == Direction.LEAKS
    found_pairs = []
    for pair, (one, two) in both.items():
        gap, mine = gaps.get(pair), p.get(pair)
        found_pairs.append(Beside(*pair, pairs[pair] or NOTHING, one, two, gap, mine, _more(gap, mine, leaks)))
    return tuple(found_pairs)


def _pairs(setup: Setup) -> tuple[dict[Pair, str], set[Pair]]:
    """What an adaptive attack does otherwise, empty if nothing is said of it; and the pairs where both are one."""
    found: dict[Pair, str] = {}
    one_attack: set[Pair] = set()
    for row in setup.rows:
        if row.adapts and (row.defense, row.adapts) in setup.measured and not row.role:
            told = [note.removeprefix(SAYS) for note in row.notes if note.startswith(SAYS)]
            if told or row.defense != BASELINE:
                pair = row.defense, row.adapts, row.attack
                found[pair] = "; ".join(told)
                same = {measured.row.keys.get("attack") for measured in setup.measured[pair[:2]]}
                if not told or row.keys.get("attack") in same - {None}:
                    one_attack.add(pair)
    return found, one_attack


def _more(gap: Estimate | None, p: float | None, leaks: bool) -> bool:
    return gap is not None and p is not None and clear(gap, p) and (gap.value > 0) == leaks
