"""Blurred pictures: the pixels are gone, they are not hidden."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from unveil.harness.figures.rows import Picture, Results
from unveil.leaderboard.site.people import PIXELS, blurred, prepared


def png(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def read(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("lines", [1, 4])
def test_a_face_keeps_a_few_pixels_only(lines: int) -> None:
    stripes = np.zeros((64 * lines, 64 * 8, 3), np.uint8)
    stripes[:, ::2] = 255
    found = read(blurred(png(stripes), lines) or "")
    assert found.shape[0] == PIXELS * lines
    assert found.shape[1] == round(64 * 8 * PIXELS / 64)
    assert np.ptp(found) < 60  # a stripe a pixel wide is nowhere to be seen


def test_one_that_is_smaller_than_that_already_keeps_less() -> None:
    found = read(blurred(png(np.random.default_rng(0).integers(0, 255, (5, 10, 3), np.uint8)), 1) or "")
    assert found.shape[0] == 1


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_cannot_be_read_is_withheld(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert blurred(text, 3) is None
    told = {"data": "d", "model": "m", "defense": "none", "attack": "a", "seed": 0, "caption": "", "people": ("Ann",)}
    picture = Picture(png=text, publishable=False, **told)
    assert prepared(Results(title="", plan="", pictures=(picture,)), "blurred").pictures == (picture,)
