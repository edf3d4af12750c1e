"""How a grid of pictures is laid out: one line a person, real pictures left, reconstructions right. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass

REAL, MADE, GAP = 3, 5, 6  # pictures a side, and pixels between the sides

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Line:
    """Where the pictures of one person are.

    Attributes:
        real: Boxes of real pictures.
        made: Boxes of reconstructions.
    """

    real: tuple[Box, ...]
    made: tuple[Box, ...]


def lines(size: tuple[int, int], people: int) -> tuple[Line, ...]:
    """The lines of a grid of square pictures; none if it is laid out in another way.

    Args:
        size: Its width and height.
        people: People it shows.

    Example:
        >>> lines((4 * 8 + GAP, 16), 2)[1].made
        ((30, 8, 38, 16),)
    """
    width, height = size
    side = height // people if people > 0 else 0
    made, rest = divmod(width - GAP, side) if side else (0, 1)
    if rest or height % people or not 1 <= made - REAL <= MADE:
        return ()
    return tuple(_line(side, top, made - REAL) for top in range(0, height, side))


def _line(side: int, top: int, made: int) -> Line:
    boxes = [(left, top, left + side, top + side) for left in range(0, REAL * side, side)]
    start = REAL * side + GAP
    fakes = [(left, top, left + side, top + side) for left in range(start, start + made * side, side)]
    return Line(tuple(boxes), tuple(fakes))
