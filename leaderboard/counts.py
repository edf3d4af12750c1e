"""Which cells of a figure rest on unequal numbers of pictures, where such numbers do not compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unveil.leaderboard.estimates import Estimate


def pictures(numbers: Mapping[tuple[str, str], Estimate]) -> dict[str, tuple[int, int]]:
    """Fewest and most pictures per seed, over defenses, by attack.

    Args:
        numbers: By (defense, attack).
    """
    found: dict[str, tuple[int, int]] = {}
    for (_, attack), number in numbers.items():
        count = round(number.samples / number.seeds)
        fewest, most = found.get(attack, (count, count))
        found[attack] = min(fewest, count), max(most, count)
    return found


def unequal(found: Mapping[str, tuple[int, int]], attacks: Iterable[str]) -> tuple[str, ...]:
    """Attacks with other numbers of pictures on one defense than on another."""
    return tuple(a for a in attacks if a in found and found[a][0] != found[a][1])


def sentence(found: Mapping[str, tuple[int, int]], counted: bool) -> str:
    """What a reader must know of the numbers of pictures; empty where all are equal, or their number plays no part.

    Example:
        >>> sentence({"gmi": (80, 120), "kedmi": (120, 120)}, True)
        'gmi 80 to 120; kedmi 120'
    """
    if not counted or len({n for ends in found.values() for n in ends}) < 2:
        return ""
    return "; ".join(f"{a} {low:,}" + f" to {high:,}" * (low != high) for a, (low, high) in found.items())
