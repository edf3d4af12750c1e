"""The same pictures at another resolution: data are kept as they are, and who works with them takes its own size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unveil.harness.words.images import Images
from unveil.harness.words.pixel_file import Room
from unveil.harness.words.pixels import brought_to, to_uint8

CHUNK = 256  # pictures at a time


def at_size(images: Images, shape: Sequence[int], folder: Path | None = None) -> Images:
    """Pictures with another height and width, 8 bits a value: resized once, whoever looks at them however often.

    Args:
        images: Any number.
        shape: Height and width.
        folder: Where a file of them may be, if they are many; None for the system's own place.

    Raises:
        StoreError: If there is no room for them.
    """
    if images.shape[1:] == tuple(shape):
        return images
    room = Room((len(images), images.shape[0], *shape), folder)
    for start in range(0, len(images), CHUNK):
        room.put(start, to_uint8(brought_to(images.at(slice(start, start + CHUNK)), shape)))
    return Images(room.filled(), images.labels)
