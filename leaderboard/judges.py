"""What is wrong with a judge, by its own figures."""

from __future__ import annotations

from unveil.harness.figures.rows import Figure, Judge
from unveil.harness.words.names import ACCEPTS_PRIVATE, Direction
from unveil.leaderboard.estimates import scored
from unveil.leaderboard.wording import number

CEILING_MIN = 0.8  # a judge that knows fewer of its own people than this cannot judge
FLOOR_MAX = 0.1  # nor can one that takes more strangers than this for them


def is_floor(figure: Figure) -> bool:
    """Whether a judge's figure says how often it takes strangers for people it knows."""
    return figure.direction != Direction.USEFUL


def is_ceiling(figure: Figure) -> bool:
    """Whether a judge's figure says how often it recognises real pictures of the people it is asked about."""
    return figure.quantity == ACCEPTS_PRIVATE and figure.direction == Direction.USEFUL


def judge_warnings(judge: Judge) -> tuple[str, ...]:
    """What is wrong with a judge, so that its verdicts say more about the benchmark than about a defense."""
    if judge.status != "done":
        return (f"{judge.status}: {judge.error or 'no error was recorded'}",)
    found = [f for f in judge.figures if f.value is not None and scored(f)]
    low = [f for f in found if is_ceiling(f) and f.unit == "share" and (f.value or 0) < CEILING_MIN]
    high = [f for f in found if is_floor(f) and f.unit == "share" and (f.value or 0) > FLOOR_MAX]
    warnings = [f"recognises only {number(f.value or 0, f.unit)} of held-out private pictures" for f in low]
    warnings += [f"takes {number(f.value or 0, f.unit)} of strangers for people it knows" for f in high]
    return tuple(warnings)
