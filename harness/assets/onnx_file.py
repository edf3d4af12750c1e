"""Reads the tensors of ONNX files, and which operation each belongs to. Executes nothing, needs no onnx.

An ONNX file is a protocol buffer, of which this knows what it needs: messages, numbers and bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unveil.harness.words.errors import WeightsError

EXPECTED = "an ONNX file with its float32 tensors inside"
NUMBER, EIGHT, BYTES, FOUR = 0, 1, 2, 5  # kinds of a field
GRAPH = 7  # in a model
NODE, INITIALISER = 1, 5  # in a graph
INPUT, OPERATION = 1, 4  # in a node
DIMENSION, KIND, NAME, RAW = 1, 2, 8, 9  # in a tensor
FLOAT = 1

Field = tuple[int, int | bytes]


@dataclass(frozen=True)
class Operation:
    """One node of the graph.

    Attributes:
        kind: Such as ``"Conv"``.
        tensors: Those of its inputs that are kept in the file, in order.
    """

    kind: str
    tensors: tuple[Tensor, ...]


def read(path: Path) -> list[Operation]:
    """The operations in the file's order, which is the order of computation.

    Raises:
        WeightsError: If the file is missing, damaged or of another kind.
    """
    try:
        graphs = [value for key, value in _fields(path.read_bytes()) if key == GRAPH]
        graph = list(_fields(_bytes(graphs[0])))
        tensors = dict(_tensor(_bytes(value)) for key, value in graph if key == INITIALISER)
        found = [_operation(_bytes(value), tensors) for key, value in graph if key == NODE]
        if not found:
            raise ValueError("a graph without operations")
        return found
    except (OSError, IndexError, ValueError, RuntimeError, OverflowError, struct.error) as error:
        raise WeightsError(
            f"{path} cannot be read: {type(error).__name__}: {error}", EXPECTED, "fetch it again"
        ) from error


def _operation(message: bytes, tensors: Mapping[str, Tensor]) -> Operation:
    kind, inputs = "", []
    for key, value in _fields(message):
        if key == OPERATION:
            kind = _bytes(value).decode()
        elif key == INPUT:
            inputs.append(_bytes(value).decode())
    return Operation(kind, tuple(tensors[name] for name in inputs if name in tensors))


def _tensor(message: bytes) -> tuple[str, Tensor]:
    """Name and value; of kinds that are not float32, nothing of the value."""
    shape, kind, name, raw = [], 0, "", b""
    for key, value in _fields(message):
        if key == DIMENSION:
            shape += [value] if isinstance(value, int) else [side for _, side in _numbers(value)]
        elif key == KIND and isinstance(value, int):
            kind = value
        elif key == NAME:
            name = _bytes(value).decode()
        elif key == RAW:
            raw = _bytes(value)
    if kind != FLOAT:
        return name, torch.empty(0)
    if len(raw) != 4 * math.prod(shape):
        raise ValueError(f"tensor {name} of shape {shape} has {len(raw)} bytes")
    return name, torch.frombuffer(bytearray(raw), dtype=torch.float32).reshape(shape)


def _fields(message: bytes) -> Iterator[Field]:
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        key, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == NUMBER:
            value, at = _number(message, at)
        else:
            size = {EIGHT: 8, FOUR: 4}.get(kind)
            if kind == BYTES:
                size, at = _number(message, at)
            if size is None or at + size > len(message):
                raise ValueError(f"a field of kind {kind} at byte {at} of {len(message)}")
            value, at = message[at : at + size], at + size
        yield key, value


def _number(message: bytes, at: int) -> tuple[int, int]:
    """A variable-length number, and where it ends."""
    value = 0
    for k in range(10):
        byte = message[at + k]
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value, at + k + 1
    raise ValueError(f"a number without end at byte {at}")


def _numbers(packed: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(packed):
        value, at = _number(packed, at)
        yield at, value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where a message belongs")
    return value
