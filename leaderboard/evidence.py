"""The pictures beside the headline: what was reconstructed, next to the people, before any statistics."""

from __future__ import annotations

import base64
import binascii
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from unveil.harness.figures.rows import Picture
from unveil.harness.words.names import Direction
from unveil.leaderboard.board import Board
from unveil.leaderboard.figures import BASELINE
from unveil.leaderboard.matrices import Matrix

PEOPLE = 3  # lines of a grid that stand beside the headline
GRIDS = 2  # the undefended target and the best defense
_WIDEST = 640  # pixels of an excerpt
MOST_PIXELS = 50_000_000  # of a grid that is read at all: its size is whatever the results say


@dataclass(frozen=True)
class Excerpt:
    """The first people of a grid.

    Attributes:
        picture: The grid it is from.
        png: The PNG, base64.
        size: Its width and height.
        people: How many people it shows.
    """

    picture: Picture
    png: str
    size: tuple[int, int]
    people: int


def evidence(board: Board, shown: Sequence[Picture]) -> tuple[Excerpt, ...]:
    """The undefended target under the attack that gets most out of it, and the defense that leaks least under the same.

    Args:
        board: The setup.
        shown: Pictures that may be on the page, of all setups.
    """
    setup = board.setup
    mine = [p for p in shown if (p.data, p.model) == (setup.data, setup.model) and p.attack in setup.attacks]
    attack = _telling_attack(board.headline, mine)
    first = {p.defense: p for p in reversed(mine) if p.attack == attack}
    found = (excerpt(first[d]) for d in _telling_defenses(board, list(first)))
    return tuple(one for one in found if one)


def _telling_attack(found: Matrix | None, pictures: Sequence[Picture]) -> str | None:
    """Of those with pictures, the one that gets most out of the undefended target; else the first."""
    attacks = list(dict.fromkeys(p.attack for p in pictures if p.defense == BASELINE)) or [p.attack for p in pictures]
    scored = {a: e.value for a in attacks if found and (c := found.cells.get((BASELINE, a))) and (e := c.estimate)}
    if not found or not scored:
        return attacks[0] if attacks else None
    most = min if found.column.direction == Direction.PROTECTS else max
    return most(scored, key=scored.__getitem__)


def _telling_defenses(board: Board, pictured: Sequence[str]) -> list[str]:
    """No defense, then the one that leaks least of those that are of use; others only where these are not pictured."""
    means = board.headline.means if board.headline else {}
    sign = -1 if board.headline and board.headline.column.direction == Direction.PROTECTS else 1
    of_use = [d for d in means if d in pictured and d != BASELINE and not board.worths[d].useless]
    ordered = [d for d in pictured if d == BASELINE] + sorted(of_use, key=lambda d: sign * means[d].value)
    return list(dict.fromkeys([*ordered, *pictured]))[:GRIDS]


def excerpt(picture: Picture) -> Excerpt | None:
    """The first people of a grid, no wider than a column of text; None for what is no PNG that can be read."""
    grid, people = opened(picture.png), len(picture.people)
    if grid is None:
        return None
    kept = min(PEOPLE, people)
    part = grid.crop((0, 0, grid.width, grid.height * kept // people if people else grid.height))
    part.thumbnail((_WIDEST, part.height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    part.save(out, "PNG", optimize=True)
    return Excerpt(picture, base64.b64encode(out.getvalue()).decode(), part.size, kept)


def opened(png: str) -> Image.Image | None:
    """A base64 PNG; None for what is none that can be read, or a monstrous one."""
    size = png_size(png)
    if size is None or not 0 < size[0] * size[1] <= MOST_PIXELS:
        return None
    try:
        with Image.open(io.BytesIO(base64.b64decode(png)), formats=["PNG"]) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None


def png_size(png: str) -> tuple[int, int] | None:
    """Width and height of a base64 PNG; None if it is not one."""
    try:
        head = base64.b64decode(png, validate=True)[:24]
    except (binascii.Error, ValueError):
        return None
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    width, height = struct.unpack(">II", head[16:24])
    return int(width), int(height)
