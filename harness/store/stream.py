"""Safetensors files larger than memory: written a few pictures at a time, and read where they are asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unveil.harness.words.disk import Handle
    from unveil.harness.words.pixel_file import PixelFile
    from unveil.harness.words.pixels import Stored

CHUNK = 256  # pictures at a time
ALIGNED = 8  # bytes: a header's length is a multiple of it
Header = dict[str, Any]


def packed(small: bytes, pictures: Mapping[str, Stored]) -> Iterator[bytes]:
    """The bytes, in parts, of a safetensors file that holds what is in another one, and pictures.

    Args:
        small: The other file.
        pictures: 8-bit pictures by name.
    """
    import torch  # noqa: PLC0415 (rows and pages are read without torch)

    start = 8 + int.from_bytes(small[:8], "little")
    header, data = json.loads(small[8:start]), small[start:]
    place = len(data)
    for name, kept in pictures.items():
        end = place + prod(kept.shape)
        header[name] = {"dtype": "U8", "shape": list(kept.shape), "data_offsets": [place, end]}
        place = end
    yield _headed(header)
    yield data
    for kept in pictures.values():
        for rows in torch.arange(len(kept)).split(CHUNK):
            yield kept[rows].contiguous().numpy().tobytes()


def opened(handle: Handle, pictures: Collection[str]) -> tuple[bytes, dict[str, PixelFile]]:
    """Reads a safetensors file, but for pictures if it is a large one.

    Args:
        handle: The file.
        pictures: Names of 8-bit pictures that may stay in it.

    Returns:
        A safetensors file of what was read, and the pictures that were not.
    """
    from unveil.harness.words import pixels  # noqa: PLC0415 (see above)
    from unveil.harness.words.pixel_file import PixelFile  # noqa: PLC0415 (see above)

    file = handle.file
    large = file.seek(0, os.SEEK_END) > pixels.HELD
    file.seek(0)
    if not large:
        return file.read(), {}
    start = 8 + int.from_bytes(file.read(8), "little")
    header: Header = json.loads(file.read(start - 8))
    found = {
        name: PixelFile(handle, about["shape"], start + about["data_offsets"][0])
        for name, about in header.items()
        if name in pictures and _eight_bit(about)
    }
    return _rest(handle, start, {name: about for name, about in header.items() if name not in found}), found


def _eight_bit(about: Mapping[str, Any]) -> bool:
    """Whether these are pictures of 8 bits, as many as it says: somebody else may have written the header."""
    first, end = about["data_offsets"]
    return about["dtype"] == "U8" and len(about["shape"]) == 4 and 0 <= first <= end == first + prod(about["shape"])


def _rest(handle: Handle, start: int, header: Header) -> bytes:
    """A safetensors file of some of what is in another one, whose data begin at a byte."""
    data, placed = b"", {}
    for name, about in header.items():
        first, end = about["data_offsets"]
        handle.file.seek(start + first)
        placed[name] = {**about, "data_offsets": [len(data), len(data) + end - first]}
        data += handle.file.read(end - first)
    return _headed(placed) + data


def _headed(header: Header) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return len(text).to_bytes(8, "little") + text
