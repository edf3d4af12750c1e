"""From image files to 8-bit pixels of one size, whatever they were: palettes, 16-bit, turned, transparent."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, features
from torch import Tensor

from unveil.harness.data.cuts import Cut, centre, whole
from unveil.harness.data.names import shown
from unveil.harness.data.parallel import in_parallel
from unveil.harness.words.errors import LISTED, DataError
from unveil.harness.words.pixel_file import Room
from unveil.harness.words.pixels import Stored
from unveil.harness.words.run import Run

Channels = Literal[1, 3]
FLAT = 4  # levels of 256 that a picture of one colour may differ by, for a codec's sake
BLACK = 16  # level of 256 that 12-bit values in a 16-bit file end below
DARK = 64
LONG = 3  # times as long as wide
DEEP = 65535
# By content, whatever a file is called: Pillow hands PostScript to another program, and knows rare formats badly.
FORMATS = (
    *("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "TGA", "TIFF", "WEBP"),
    *(["AVIF"] if features.check("avif") else []),
)


@dataclass(frozen=True)
class Decoded:
    """Pictures, and what a reader of the results should know of them.

    Attributes:
        pixels: ``(N, channels, H, W)`` uint8; in a file without a name if they are many.
        odd: Rows by what is special about them, in the plural.
    """

    pixels: Stored
    odd: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class _One:
    """What is special about a picture, and the highest value of a file of more than 8 bits, else 0."""

    odd: list[str]
    peak: int


def decode(files: Sequence[Path], *, size: int, channels: Channels, crop: bool, run: Run) -> Decoded:
    """Reads image files in parallel, in the order given.

    Args:
        files: What to read.
        size: Height and width to resize to, with antialiasing.
        channels: 3 for colour, 1 for grey.
        crop: Whether to cut out the centre square first; otherwise pictures that are not square are stretched.
        run: Shows progress.

    Raises:
        DataError: If files cannot be read, or show nothing since they are of one colour or nearly black; names them.
        StoreError: If there is no room for what was read.
    """
    return decode_cut(files, [centre if crop else whole] * len(files), shape=(size, size), channels=channels, run=run)


def decode_cut(
    files: Sequence[Path], cuts: Sequence[Cut], *, shape: tuple[int, int], channels: Channels, run: Run
) -> Decoded:
    """Reads image files in parallel, in the order given, of each the part that its cut keeps.

    Args:
        files: What to read.
        cuts: What to keep of each.
        shape: Height and width to resize to, with antialiasing.
        channels: 3 for colour, 1 for grey.
        run: Shows progress.

    Raises:
        DataError: As ``decode``, or if a picture is not as its cut expects it; names them.
        StoreError: If there is no room for what was read.
    """
    room = Room((len(files), channels, *shape), run.scratch)
    failed: dict[int, str] = {}
    odd: defaultdict[str, list[int]] = defaultdict(list)
    peaks: dict[int, int] = {}
    read = partial(_read, cuts=cuts, room=room, shape=shape, channels=channels)
    with run.progress("reading pictures", len(files)) as bar, _strict_pillow():
        for i, result in enumerate(in_parallel(read, files)):
            if isinstance(result, str):
                failed[i] = result
            else:
                for what in result.odd:
                    odd[what].append(i)
                peaks |= {i: result.peak} if result.peak else {}
            bar.advance()
    failed |= _of_fewer_bits(peaks)
    if failed:
        raise _unusable([f"{shown(files[i])}: {why}" for i, why in sorted(failed.items())], len(files))
    return Decoded(room.filled(), odd)


def size_of(file: Path) -> tuple[int, int]:
    """Width and height of a picture, of which no more than the beginning is read.

    Raises:
        DataError: If it is none.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            return picture.size
    except Exception as error:  # as in reading whole pictures
        raise _unusable([f"{shown(file)}: {type(error).__name__}: {error}"], 1) from error


def square(picture: Image.Image, *, size: int, channels: Channels, crop: bool) -> Tensor:
    """One decoded picture as pixels ``(channels, size, size)`` uint8.

    Raises:
        ValueError: If its pixels are numbers of unknown range.
    """
    return _cut(picture, centre if crop else whole, (size, size), channels)[0]


def _cut(picture: Image.Image, cut: Cut, shape: tuple[int, int], channels: Channels) -> tuple[Tensor, tuple[int, int]]:
    """Pixels ``(channels, H, W)`` uint8 of what a cut keeps, and how wide and high that was."""
    flat = _eight_bit(ImageOps.exif_transpose(picture)).convert("RGB" if channels == 3 else "L")
    height, width = shape
    box = cut(*flat.size)
    if box != (0, 0, *flat.size):
        flat = flat.crop(box)
    kept = flat.size
    if kept != (width, height):
        flat = flat.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(flat).reshape(height, width, channels)).permute(2, 0, 1), kept


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Makes an oversized picture an error and keeps quiet about odd metadata, in the threads of the block too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _read(
    row: int, file: Path, *, cuts: Sequence[Cut], room: Room, shape: tuple[int, int], channels: Channels
) -> _One | str:
    """Puts a picture in its row, and says what is special about it; or why there is none."""
    try:
        with Image.open(file, formats=FORMATS) as picture:
            # counting them would go through all; of an MPO the others are previews
            several = getattr(picture, "is_animated", False) and picture.format != "MPO"
            pixels, (wide, high) = _cut(picture, cuts[row], shape, channels)
            peak = int(np.asarray(picture).max()) if _deep(picture) else 0
            short, long = sorted(picture.size)
    except Exception as error:  # decoders of damaged files raise nearly anything, and all files are to be named
        return f"{type(error).__name__}: {error}"[:200].replace(f" {str(file)!r}", "")
    if why := _shows_nothing(pixels, peak):
        return why
    found = {
        "pictures with several frames, of which the first is taken": several,
        f"pictures smaller than {_pixels(shape)}, which are enlarged": high < shape[0] or wide < shape[1],
        f"pictures more than {LONG} times as long as wide": long > LONG * short,
        "dark pictures, in which nothing is brighter than a quarter": int(pixels.numpy().max()) < DARK,
    }
    room.put(row, pixels[None])
    return _One([what for what, is_so in found.items() if is_so], peak)


def _shows_nothing(pixels: Tensor, peak: int) -> str:
    """What is wrong with a picture that is of one colour or black."""
    bits = f" (16-bit values that end at {peak} of {DEEP}: are they of 8, 10 or 12 bits?)" if peak else ""
    values = pixels.numpy()  # quicker than torch on so few numbers
    brightest = values.max((1, 2)).astype(int)
    if brightest.max() <= BLACK:
        return f"it is entirely or nearly black{bits}"
    if (brightest - values.min((1, 2))).max() <= FLAT:
        return f"it is all of one colour{bits}"
    return ""


def _of_fewer_bits(peaks: Mapping[int, int]) -> dict[int, str]:
    """What is wrong with 16-bit files if none of them uses the upper bits."""
    most = max(peaks.values(), default=0)
    if most >= DEEP // 4:
        return {}
    why = "16-bit file that would be dark: no 16-bit file here has a value above {} of {}: are they of fewer bits?"
    return dict.fromkeys(peaks, why.format(most, DEEP))


def _unusable(failed: Sequence[str], total: int) -> DataError:
    more = [f"and {len(failed) - LISTED} more"] if len(failed) > LISTED else []
    return DataError(
        "\n  ".join([f"{len(failed)} of {total} pictures cannot be read:", *failed[:LISTED], *more]),
        f"whole image files of at most {Image.MAX_IMAGE_PIXELS:,} pixels, which show something",
        "replace these files, or remove them (and their lines in the CSV); scale values of fewer bits to all 16",
    )


def _deep(picture: Image.Image) -> bool:
    """Whether it is grey of more than 8 bits."""
    return picture.mode.startswith("I")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Palettes resolved, 16-bit greys scaled to 8, transparency laid on white."""
    if _deep(picture):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > DEEP:
            raise ValueError(f"integer pixels from {values.min()} to {values.max()}, of unknown range")
        # Pillow reads 16-bit greys as I or I;16 and would clip, not scale, them at 255.
        return Image.fromarray(np.clip(values / 257 + 0.5, 0, 255).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point pixels of unknown range")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture


def _pixels(shape: tuple[int, int]) -> str:
    height, width = shape
    return f"{height} pixels" if height == width else f"{width} x {height} pixels"
