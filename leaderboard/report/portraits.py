"""Reconstructions beside real pictures, cut from the grids. Real people are blurred so that none comes back.

That is not what a style sheet does to a picture that is there: a few averaged pixels are all that gets into the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image

from unveil.harness.figures.grids import Line, lines
from unveil.harness.figures.rows import Picture, Results
from unveil.leaderboard.evidence import opened
from unveil.leaderboard.report.attackers import Given
from unveil.leaderboard.report.people import People
from unveil.leaderboard.report.recovery import Recovery

BLURRED = 6  # pixels a side that are left of a blurred picture
LEVELS = 16  # shades of each colour that are left
WIDEST = 160  # pixels a side of one that is not
SHOWN = 4  # people
_REAL, _MADE = 2, 3  # pictures of each


@dataclass(frozen=True)
class Shot:
    """One picture.

    Attributes:
        png: The PNG, base64.
        size: Its width and height in pixels.
    """

    png: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """One person.

    Attributes:
        who: What the person is called.
        real: Real pictures; empty where the grid cannot be cut.
        made: Reconstructions; where the grid cannot be cut, all that stands in its line.
        judges: How many recognisers take most of the attack's pictures for this person; None if that is not known.
    """

    who: str
    real: tuple[Shot, ...]
    made: tuple[Shot, ...]
    judges: int | None


@dataclass(frozen=True)
class Portraits:
    """What one attack made, of the first people by number.

    Attributes:
        pairs: One a person.
        blurred: Whether hardly anything is left of the pictures.
        private: Whether real people can be seen.
        of: Recognisers that judged.
    """

    pairs: tuple[Pair, ...]
    blurred: bool
    private: bool
    of: int


def portraits(
    results: Results, model: Given, found: Recovery, people: People, *, private_pictures: bool
) -> Portraits | None:
    """Of one attack on the given model; None where no grid was recorded, or none can be read.

    Args:
        results: The grids.
        model: Whose they are.
        found: What the attack recovers.
        people: What people are called.
        private_pictures: Whether pictures may be seen although the data set does not allow it.
    """
    wanted = model.data, model.model, model.defense, found.attack
    mine = [p for p in results.pictures if (p.data, p.model, p.defense, p.attack) == wanted]
    grid = min(mine, key=lambda p: p.seed, default=None)
    if grid is None or not (pairs := _pairs(grid, found, people, blur := not (grid.publishable or private_pictures))):
        return None
    return Portraits(pairs, blur, not grid.publishable and not blur, len(found.judges))


def _pairs(grid: Picture, found: Recovery, people: People, blur: bool) -> tuple[Pair, ...]:
    image = opened(grid.png)
    if image is None or not grid.people:
        return ()
    cut = lines(image.size, len(grid.people)) or _whole(image.size, len(grid.people))
    made = []
    for i, (name, line) in enumerate(list(zip(grid.people, cut, strict=True))[:SHOWN]):
        label = people.label(name)
        who = people.call(label) if label is not None else name if people.shown else f"line {i + 1} of the pictures"
        judges = found.judged(label) if label is not None and label in found.accepted else None
        real, fakes = (_shots(image, boxes, blur) for boxes in (line.real[:_REAL], line.made[:_MADE]))
        made.append(Pair(who, real, fakes, judges))
    return tuple(made)


def _whole(size: tuple[int, int], people: int) -> tuple[Line, ...]:
    """A line a person, where it is not known what in it is real."""
    width, height = size
    tops = [height * i // people for i in range(people + 1)]
    return tuple(Line((), ((0, top, width, low),)) for top, low in pairwise(tops))


def _shots(image: Image.Image, boxes: Iterable[tuple[int, int, int, int]], blur: bool) -> tuple[Shot, ...]:
    parts = (image.crop(box) for box in boxes)
    return tuple(_shot(blurred(part) if blur else part) for part in parts if part.getextrema() != ((255, 255),) * 3)


def blurred(image: Image.Image) -> Image.Image:
    """What may be seen of a picture that may not: a few averages of its pixels, in a few shades."""
    small = image.convert("RGB").resize((BLURRED, BLURRED), Image.Resampling.BOX)
    step = 256 // LEVELS
    return small.point([shade // step * step + step // 2 for shade in range(256)] * 3)


def _shot(image: Image.Image) -> Shot:
    image.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    clean = Image.frombytes("RGB", image.size, image.tobytes())  # nothing but pixels: no thumbnail, place or profile
    out = io.BytesIO()
    clean.save(out, "PNG", optimize=True)
    return Shot(base64.b64encode(out.getvalue()).decode(), clean.size)
