"""Words that the parts of a report share."""

from __future__ import annotations

from collections.abc import Mapping

from unveil.harness.words.names import Access
from unveil.leaderboard.report.recovery import Recovery
from unveil.leaderboard.wording import number

WHO: Mapping[Access, str] = {
    Access.WHITE_BOX: "An attacker who has this model’s weights",
    Access.SCORES: "An attacker who may ask this model and sees its scores",
    Access.LABELS: "An attacker who may ask this model and sees only whom it names",
}
SEES: Mapping[Access, str] = {
    Access.WHITE_BOX: "has the weights",
    Access.SCORES: "sees the scores",
    Access.LABELS: "sees only whom it names",
}
KINDS: Mapping[Access, str] = {
    Access.WHITE_BOX: "Has the weights",
    Access.SCORES: "Sees the scores",
    Access.LABELS: "Sees only the name",
}
MEANS: Mapping[Access, str] = {
    Access.WHITE_BOX: "Anybody who gets the file: whom it is shipped to, or who copies it from a device or a server.",
    Access.SCORES: "Anybody who may send pictures and is told how sure the model is of each person.",
    Access.LABELS: "Anybody who may send pictures and is told the most likely person, and nothing else.",
}


def recognisers(needed: int, of: int, *, plain: bool = False) -> str:
    """Who must agree, with its verb, such as ``at least 2 of 3 face recognisers take``.

    Args:
        needed: So many are enough.
        of: So many were asked.
        plain: Without the verb.

    Example:
        >>> recognisers(2, 3), recognisers(2, 2, plain=True)
        ('at least 2 of 3 face recognisers take', 'both face recognisers')
    """
    if of == 1:
        return "the one fit face recogniser" + ("" if plain else " takes")
    if needed == of:
        who = f"{'both' if of == 2 else f'all {of}'} face recognisers"
    else:
        who = f"at least {needed} of {of} face recognisers"
    return who + ("" if plain else " take")


def between(low: float, high: float) -> str:
    """An interval of a share in words.

    Example:
        >>> between(0.28, 0.59).replace(chr(160), " "), between(0.0, 0.09).replace(chr(160), " ")
        ('between 28 % and 59 %', 'at most 9 %')
    """
    if low <= 0:
        return f"at most {number(high, 'share')}"
    if high >= 1:
        return f"at least {number(low, 'share')}"
    return f"between {number(low, 'share')} and {number(high, 'share')}"


def of_people(count: int, people: int) -> str:
    """So many of so many.

    Example:
        >>> of_people(3, 40), of_people(1, 1)
        ('3 of 40 people', 'the one person who was attacked')
    """
    if people == 1:
        return "the one person who was attacked" if count else "nobody"
    return f"{count} of {people:,} people" if count else f"none of {people:,} people"


def counted(found: Recovery) -> str:
    """Whom somebody recovers."""
    return of_people(len(found.recovered), found.people)


def duration(seconds: float) -> str:
    """A time that nobody needs to the second.

    Example:
        >>> duration(45), duration(1722), duration(9000)
        ('45 s', '29 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def sentence(text: str) -> str:
    """A text that others wrote, as a sentence of its own."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) or not text else f"{text}."
