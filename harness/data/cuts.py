"""What is kept of a picture: everything, the square in the centre, or the crop that a protocol was published with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""

Cut = Callable[[int, int], Box]
"""From the width and height of a picture, turned as it should be, to the part of it that is kept."""


def whole(width: int, height: int) -> Box:
    """All of it."""
    return 0, 0, width, height


def centre(width: int, height: int) -> Box:
    """The largest square in the centre."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


@dataclass(frozen=True)
class Fixed:
    """The same pixels of pictures that are all of one size, as aligned ones are.

    Attributes:
        box: What is kept.
        width: Of each picture; another one is an error.
        height: As ``width``.
    """

    box: Box
    width: int
    height: int

    def __call__(self, width: int, height: int) -> Box:
        """The box.

        Raises:
            ValueError: If the picture is of another size.
        """
        if (width, height) != (self.width, self.height):
            raise ValueError(f"{width} x {height} pixels, where the crop is meant for {self.width} x {self.height}")
        return self.box


@dataclass(frozen=True)
class Share:
    """The centre of a picture, or of a box in it: the same share of its width and of its height.

    Attributes:
        share: In (0, 1]; 1 keeps all.
        side: Width and height that each picture must have; None for any.
        box: Where the face is; None for the whole picture.
    """

    share: float = 1.0
    side: int | None = None
    box: Box | None = None

    def __call__(self, width: int, height: int) -> Box:
        """The centre.

        Raises:
            ValueError: If the picture is of another size, or the box does not lie in it.
        """
        if self.side is not None and (width, height) != (self.side, self.side):
            raise ValueError(f"{width} x {height} pixels, where the others have {self.side} x {self.side}")
        left, top, right, bottom = self.box or (0, 0, width, height)
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(f"the face's box {self.box} does not lie in its {width} x {height} pixels")
        wide, high = round((right - left) * self.share), round((bottom - top) * self.share)
        left, top = left + (right - left - wide) // 2, top + (bottom - top - high) // 2
        return left, top, left + max(1, wide), top + max(1, high)


def extent(box: Box) -> tuple[int, int]:
    """Height and width of what is kept.

    >>> extent((35, 55, 143, 163))
    (108, 108)
    """
    left, top, right, bottom = box
    return bottom - top, right - left
