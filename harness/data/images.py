"""From image files to square 8-bit pixels, whatever they were: grey, colour, palette, 16-bit, turned, transparent."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from unveil.harness.data.splits import LISTED
from unveil.harness.errors import DataError
from unveil.harness.run import Run

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
Channels = Literal[1, 3]


def decode(files: Sequence[Path], *, size: int, channels: Channels, crop: bool, run: Run) -> Tensor:
    """Reads image files in parallel, in the order given.

    Args:
        files: What to read.
        size: Height and width to resize to, with antialiasing.
        channels: 3 for colour, 1 for grey.
        crop: Whether to cut out the centre square first; otherwise pictures that are not square are stretched.
        run: Shows progress.

    Returns:
        Pixels ``(N, channels, size, size)`` uint8.

    Raises:
        DataError: If files cannot be read; names them.
    """
    pixels = torch.empty((len(files), channels, size, size), dtype=torch.uint8)
    failed: list[str] = []
    read = partial(_read, size=size, channels=channels, crop=crop)
    with run.progress("reading pictures", len(files)) as bar, _strict_pillow(), ThreadPoolExecutor(_workers()) as pool:
        for i, result in enumerate(pool.map(read, files)):
            if isinstance(result, str):
                failed.append(f"{files[i]}: {result}")
            else:
                pixels[i] = result
            bar.advance()
    if failed:
        raise _unreadable(failed, len(files))
    return pixels


def square(picture: Image.Image, *, size: int, channels: Channels, crop: bool) -> Tensor:
    """One decoded picture as pixels ``(channels, size, size)`` uint8.

    Raises:
        ValueError: If its pixels are floating-point numbers of unknown range.
    """
    flat = _eight_bit(ImageOps.exif_transpose(picture)).convert("RGB" if channels == 3 else "L")
    if crop:
        flat = _centre(flat)
    if flat.size != (size, size):
        flat = flat.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(flat).reshape(size, size, channels)).permute(2, 0, 1)


def _workers() -> int:
    return min(16, os.cpu_count() or 1)


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Makes an oversized picture an error and keeps quiet about odd metadata, in the threads of the block too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _read(file: Path, *, size: int, channels: Channels, crop: bool) -> Tensor | str:
    """The pixels, or why there are none."""
    try:
        with Image.open(file) as picture:
            return square(picture, size=size, channels=channels, crop=crop)
    except Exception as error:  # decoders of damaged files raise nearly anything, and all files are to be named
        return f"{type(error).__name__}: {error}"[:200].replace(f" {str(file)!r}", "")


def _unreadable(failed: Sequence[str], total: int) -> DataError:
    more = [f"and {len(failed) - LISTED} more"] if len(failed) > LISTED else []
    return DataError(
        "\n  ".join([f"{len(failed)} of {total} pictures cannot be read:", *failed[:LISTED], *more]),
        f"whole image files of at most {Image.MAX_IMAGE_PIXELS:,} pixels",
        "replace these files, or remove them (and their lines in the CSV)",
    )


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Palettes resolved, 16-bit greys scaled to 8, transparency laid on white."""
    if picture.mode.startswith("I"):
        # Pillow reads 16-bit greys as I or I;16 and would clip, not scale, them at 255.
        return Image.fromarray(np.clip(np.asarray(picture) / 257 + 0.5, 0, 255).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point pixels of unknown range")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture


def _centre(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))
