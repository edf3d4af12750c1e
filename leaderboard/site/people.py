"""Pictures of people: which of them a site may show, and how. Blurred is blurred for good: the pixels are gone."""

from __future__ import annotations

import base64
import io
from typing import Literal

from PIL import Image

from unveil.harness.figures.rows import Picture, Results
from unveil.leaderboard.evidence import MOST_PIXELS, png_size

PIXELS = 6  # of a face, from top to bottom, that blurring leaves
Show = Literal["withheld", "blurred", "shown"]


def prepared(results: Results, show: Show) -> Results:
    """Results with pictures of real people as they may be shown.

    Args:
        results: As they were computed.
        show: ``withheld`` leaves them as they are, for the pages to leave out; ``blurred`` puts blurred ones in their
            place, without names; ``shown`` too leaves them as they are.
    """
    if show != "blurred":
        return results
    return results.model_copy(update={"pictures": tuple(_blurred(picture) for picture in results.pictures)})


def _blurred(picture: Picture) -> Picture:
    """A picture that may be published: itself if it may, else what blurring leaves; withheld if it cannot be read."""
    if picture.publishable:
        return picture
    png = blurred(picture.png, len(picture.people))
    if png is None:
        return picture
    caption = f"{picture.caption} Real people, blurred: {PIXELS} pixels of each face are left."
    return picture.model_copy(update={"png": png, "caption": caption, "people": (), "publishable": True})


def blurred(png: str, lines: int) -> str | None:
    """A base64 PNG of so many lines of faces, with ``PIXELS`` rows of pixels for each; None if it cannot be read."""
    size = png_size(png)
    if size is None or not 0 < size[0] * size[1] <= MOST_PIXELS:
        return None
    height = PIXELS * max(lines, 1)
    if height >= size[1]:  # smaller than that already: what would be left is all there is
        height = 1
    try:
        with Image.open(io.BytesIO(base64.b64decode(png)), formats=["PNG"]) as grid:
            width = max(1, round(size[0] * height / size[1]))
            small = grid.convert("RGB").resize((width, height), Image.Resampling.BOX)
    except (OSError, SyntaxError, ValueError):
        return None
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()
