"""Small drawings: people as dots, a share with its interval."""

from __future__ import annotations

from dataclasses import dataclass

ACROSS, STEP = 20, 10  # dots a line, and units from one to the next
MOST = 400  # people who are drawn one by one


@dataclass(frozen=True)
class Dots:
    """One dot a person, those who are recovered first; a bar where they are many.

    Attributes:
        full: SVG path of those who are.
        empty: Of those who are not.
        width: Of the drawing, in its own units.
        height: Of the drawing.
    """

    full: str
    empty: str
    width: int
    height: int


def dots(full: int, people: int) -> Dots:
    """People as dots, to be drawn with a round pen.

    Example:
        >>> dots(1, 2)
        Dots(full='M5 5h0', empty='M15 5h0', width=20, height=10)
    """
    if people > MOST:
        cut = round(ACROSS * STEP * full / people)
        return Dots(f"M5 5H{max(cut - 5, 5)}" if full else "", f"M{cut + 5} 5H195" if cut < 190 else "", 200, STEP)
    places = [f"M{STEP * (i % ACROSS) + 5} {STEP * (i // ACROSS) + 5}h0" for i in range(people)]
    lines = -(-people // ACROSS)
    return Dots("".join(places[:full]), "".join(places[full:]), STEP * min(people, ACROSS), STEP * lines)
