"""The picture that a language model is shown (arXiv 2505.03519): Image A, a gap, Set B, and a question in red."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unveil.harness.words.pixels import to_uint8

SIDE, GAP, MARGIN = 224, 100, 40  # pixels; the margin above and below holds labels and question
RED, BLACK, WHITE = (200, 0, 0), (0, 0, 0), (255, 255, 255)
LAYOUT = "1"  # raised when the picture changes, so that earlier answers are of another picture


def beside(person: Tensor, most: int) -> Tensor:
    """A few of a person's pictures ``(M, C, H, W)``: those with the smallest hashes, which is as good as at random.

    No generator: the same pictures in another order give the same few, in every cell and every run.
    """
    hashes = [hashlib.sha256(pixels_of(one)).digest() for one in person]
    return person[torch.tensor(sorted(range(len(person)), key=hashes.__getitem__)[:most])]


def pixels_of(picture: Tensor) -> bytes:
    """The 8-bit pixels of a picture ``(C, H, W)``."""
    return to_uint8(picture).cpu().contiguous().numpy().tobytes()


def drawn(image: Tensor, others: Tensor, question: str) -> bytes:
    """The picture as a PNG.

    Args:
        image: Image A ``(C, H, W)``.
        others: Set B ``(M, C, H, W)``.
        question: What is asked, in words.
    """
    left = SIDE + GAP
    canvas = Image.new("RGB", (left + SIDE * len(others), SIDE + 2 * MARGIN), WHITE)
    for number, tile in enumerate(_tiles([image, *others])):
        canvas.paste(tile, (0 if number == 0 else left + SIDE * (number - 1), MARGIN))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(20)
    pen.text((4, 8), "Image A", BLACK, font)
    pen.text((left + 4, 8), "Set B", BLACK, font)
    pen.text((4, SIDE + MARGIN + 8), question, RED, font)
    packed = io.BytesIO()
    canvas.save(packed, "PNG")
    return packed.getvalue()


def _tiles(pictures: Sequence[Tensor]) -> list[Image.Image]:
    shown = [to_uint8(one.expand(3, -1, -1).cpu()).permute(1, 2, 0).numpy() for one in pictures]
    return [Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in shown]
