"""Numbers as a reader sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unveil.harness.figures.rows import Figure
from unveil.harness.words.names import Access
from unveil.leaderboard.estimates import Estimate

THREATS = {Access.WHITE_BOX: "white-box", Access.SCORES: "score-based", Access.LABELS: "label-only"}
_HOLD = "\u00a0"  # no line may break between a number and what belongs to it


def number(value: float, unit: str, *, precise: bool = False) -> str:
    """A value with as many digits as it deserves.

    Args:
        value: In its unit.
        unit: ``"share"`` is shown in percent, anything else as it is.
        precise: One digit more.

    >>> print(number(1234.5, "squared distance"), number(-0.25, "nats"))
    1,234 −0.25
    """
    text = bare(value, unit, precise=precise)
    return f"{text}{_HOLD}%" if unit == "share" and math.isfinite(value) else text


def bare(value: float, unit: str, *, precise: bool = False) -> str:
    """As ``number``, without the percent sign."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    if unit == "share":
        percent = 100 * value
        near_an_end = 0 < abs(percent) < 1 or 99 < percent < 100
        return _minus(f"{percent:.1f}" if precise or near_an_end else f"{percent:.0f}")
    if abs(value) >= 1000:
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:.{4 if precise else 3}g}")


def span(estimate: Estimate, unit: str, *, precise: bool = False) -> str:
    """The interval in brackets; says so where there is none."""
    if estimate.low is None or estimate.high is None:
        return "[no interval]"
    return f"[{bare(estimate.low, unit, precise=precise)},{_HOLD}{bare(estimate.high, unit, precise=precise)}]"


def ends(figure: Figure) -> str:
    """The interval of one figure, precisely; empty where there is none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"[{bare(figure.low, figure.unit, precise=True)},{_HOLD}{bare(figure.high, figure.unit, precise=True)}]"


def full(estimate: Estimate, unit: str) -> str:
    """Value and interval."""
    return f"{number(estimate.value, unit)} {span(estimate, unit)}"


def rank(possible: tuple[int, int]) -> str:
    """Possible ranks; a range is a tie."""
    best, worst = possible
    return f"rank {best}" if best == worst else f"tie, rank {best}–{worst}"


def listing(names: Sequence[str], last: str = "and") -> str:
    """Names as in a sentence.

    >>> listing(["a"]), listing(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def threat(access: Access | None, what: str = "") -> str:
    """What attacks are called that see so much of the target; only the noun itself where that is not known.

    >>> threat(Access.LABELS, "attack"), threat(None, "attack")
    ('label-only attack', 'attack')
    """
    return " ".join(filter(None, (THREATS[access] if access else "", what)))


def _minus(text: str) -> str:
    return text.replace("-", "−") if text.lstrip("-0.,") else text.lstrip("-")
