"""Reads the weights of TensorFlow.js models (a .json that lists them, a .bin that holds them). Executes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unveil.harness.assets.asset import digest, sha256
from unveil.harness.words.errors import WeightsError

EXPECTED = "a TensorFlow.js model: a .json with a weights manifest, and the .bin files that it names beside it"
# what a damaged file may raise, as JSON of another shape and tensors of odd ones do
WRONG = (OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)
KINDS = {"float32": torch.float32, "int32": torch.int32, "float16": torch.float16}


def read(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name; those that were stored in half precision in full.

    Raises:
        WeightsError: If a file is missing, damaged or of another kind.
    """
    try:
        found: dict[str, Tensor] = {}
        for group in _manifest(path):
            packed = b"".join(part.read_bytes() for part in _parts(path, group))
            found.update(_tensors(group["weights"], packed))
        return found
    except WRONG as error:
        raise _unreadable(path, error) from error


def checksum(path: Path) -> str:
    """One hash for the manifest and the files that it names.

    Raises:
        WeightsError: If one cannot be read.
    """
    try:
        files = [path, *(part for group in _manifest(path) for part in _parts(path, group))]
        return digest((file.name, sha256(file)) for file in files)
    except WRONG as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path} cannot be read: {type(error).__name__}: {error}", EXPECTED, "fetch it again")


def _manifest(path: Path) -> list[dict[str, Any]]:
    groups = list(json.loads(path.read_text(encoding="utf-8"))["weightsManifest"])
    names = [str(name) for group in groups for name in group["paths"]]
    if len(set(names)) < len(names):  # a file that is named a thousand times would fill the memory
        raise ValueError("the manifest names a file twice")
    return groups


def _parts(path: Path, group: Mapping[str, Any]) -> list[Path]:
    names = [str(name) for name in group["paths"]]
    if odd := [name for name in names if "/" in name or "\\" in name or name in ("", ".", "..")]:
        raise ValueError(f"the manifest names {odd[0]!r}, which is no file beside it")
    return [path.with_name(name) for name in names]


def _tensors(entries: list[dict[str, Any]], packed: bytes) -> Iterator[tuple[str, Tensor]]:
    """The manifest's tensors, which lie one behind the other."""
    start = 0
    for entry in entries:
        shape = [int(side) for side in entry["shape"]]
        quantised = entry.get("quantization", {}).get("dtype")
        kind = KINDS[quantised or entry["dtype"]]  # 8 and 16 bits with a scale are another matter, and refused here
        size = math.prod(shape) * kind.itemsize
        if min(shape, default=0) < 0 or start + size > len(packed):
            raise ValueError(f"{entry['name']} of shape {shape} lies outside the .bin file")
        tensor = torch.frombuffer(bytearray(packed[start : start + size]), dtype=kind).reshape(shape)
        yield str(entry["name"]), tensor.float() if quantised else tensor
        start += size
    if start != len(packed):
        raise ValueError(f"{len(packed) - start} bytes that no tensor claims")
