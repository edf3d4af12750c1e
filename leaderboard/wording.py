"""Numbers as a reader sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from unveil.harness.words.names import Access

THREATS = {Access.WHITE_BOX: "white-box", Access.SCORES: "score-based", Access.LABELS: "label-only"}
_MOST_DECIMALS = 6  # beyond that a number is written with its exponent
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
        return _minus(f"{percent:.1f}" if precise or _near_an_end(percent) else f"{percent:.0f}")
    if abs(value) >= 1000:
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:.{4 if precise else 3}g}")


class Ranged(Protocol):
    """A value that may have an interval: an estimate, or a figure that was scored."""

    @property
    def value(self) -> float | None:
        """The number; a figure's may be missing."""

    @property
    def low(self) -> float | None:
        """Lower end; None if there is no interval."""

    @property
    def high(self) -> float | None:
        """Upper end."""


def value(ranged: Ranged, unit: str, *, precise: bool = False) -> str:
    """A value with as many decimals as its interval has, see ``span``."""
    number = math.nan if ranged.value is None else ranged.value
    text = _fixed(number, unit, _decimals(ranged, unit, precise), precise)
    return f"{text}{_HOLD}%" if unit == "share" and math.isfinite(number) else text


def points(ranged: Ranged, unit: str, *, precise: bool = False) -> str:
    """As ``value``, without the percent sign: of differences of shares."""
    return value(ranged, unit, precise=precise).removesuffix(f"{_HOLD}%")


def span(ranged: Ranged, unit: str, *, precise: bool = False) -> str:
    """The interval in brackets; says so where there is none.

    Value and ends have one number of decimals, so that no end looks better known than the other.
    """
    if ranged.low is None or ranged.high is None:
        return "[no interval]"
    decimals = _decimals(ranged, unit, precise)
    low, high = (_fixed(end, unit, decimals, precise) for end in (ranged.low, ranged.high))
    return f"[{low},{_HOLD}{high}]"


def full(ranged: Ranged, unit: str, *, precise: bool = False) -> str:
    """Value and interval."""
    return f"{value(ranged, unit, precise=precise)} {span(ranged, unit, precise=precise)}"


def _decimals(ranged: Ranged, unit: str, precise: bool) -> int | None:
    """Of a value and both ends; None where there is no interval to go by.

    A share close to 0 or 100 % needs one more, or it would look like nothing or all. Other units get two digits of the
    interval's width: more would be noise.
    """
    known = [n for n in (ranged.value, ranged.low, ranged.high) if n is not None and math.isfinite(n)]
    if unit == "share":
        return int(precise or any(_near_an_end(100 * n) for n in known))
    width = max(known, default=0.0) - min(known, default=0.0)
    if len(known) < 3 or not width:
        return None
    return max(0, 1 + precise - math.floor(math.log10(width)))


def _near_an_end(percent: float) -> bool:
    percent = round(percent, 6)
    return 0 < abs(percent) < 1 or 99 < percent < 100


def _fixed(number: float, unit: str, decimals: int | None, precise: bool) -> str:
    if decimals is None or decimals > _MOST_DECIMALS or not math.isfinite(number):
        return bare(number, unit, precise=precise)
    return _minus(f"{100 * number if unit == 'share' else number:,.{decimals}f}")


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
