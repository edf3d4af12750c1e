"""Reads OpenVINO IR networks (an .xml beside a .bin) as layers and tensors. Executes nothing, needs no OpenVINO."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import torch
from torch import Tensor

from unveil.harness.words.errors import WeightsError

SHARED = 2  # times its size, at most, that a file is read: equal constants may lie in one place
EXPECTED = "an OpenVINO IR network: an .xml and the .bin of the same name, float32"
KINDS = {"f32": torch.float32, "i64": torch.int64, "i32": torch.int32}


@dataclass(frozen=True)
class Layer:
    """One operation.

    Attributes:
        kind: Its type, such as ``"MatMul"``.
        inputs: Keys of the layers it reads, in the order of its ports.
        tensor: Its value if it is a constant.
    """

    kind: str
    inputs: tuple[str, ...]
    tensor: Tensor | None = None


@dataclass(frozen=True)
class Network:
    """What a file holds.

    Attributes:
        path: The .xml file.
        layers: By key, each after those it reads.
    """

    path: Path
    layers: Mapping[str, Layer]

    def constant(self, layer: Layer) -> Tensor | None:
        """The first of a layer's inputs that is a constant."""
        return next((t for key in layer.inputs if (t := self.layers[key].tensor) is not None), None)

    def flowing(self, layer: Layer) -> Iterator[Layer]:
        """The layer's inputs that are none."""
        return (self.layers[key] for key in layer.inputs if self.layers[key].tensor is None)


def read(path: Path) -> Network:
    """The network in ``path`` and the .bin beside it.

    Raises:
        WeightsError: If a file is missing, damaged or of another kind.
    """
    try:
        text, packed = path.read_bytes().decode(), path.with_suffix(".bin").read_bytes()
        if "<!" in text:  # entities: a few bytes of text that grow to gigabytes
            raise ValueError("a document type or comment, which no such network has")
        root = ElementTree.fromstring(text)  # noqa: S314 (no entities, see above)
        layers = {str(node.attrib["id"]): node for node in root.iterfind("layers/layer")}
        inputs: dict[str, dict[int, str]] = {key: {} for key in layers}
        for edge in root.iterfind("edges/edge"):
            inputs[edge.attrib["to-layer"]][int(edge.attrib["to-port"])] = edge.attrib["from-layer"]
        _require_no_overlap(layers.values(), len(packed))
        found = {
            key: Layer(node.attrib["type"], tuple(a for _, a in sorted(inputs[key].items())), _tensor(node, packed))
            for key, node in layers.items()
        }
        if not found or any(source not in found for layer in found.values() for source in layer.inputs):
            raise ValueError("no layers, or edges from nowhere")
        return Network(path, found)
    except (OSError, ElementTree.ParseError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise WeightsError(f"{path} cannot be read: {error}", EXPECTED, "fetch it again") from error


def _require_no_overlap(layers: Iterable[ElementTree.Element], size: int) -> None:
    """Refuses constants that are far larger than what they lie in: many that share it would fill the memory."""
    claimed = sum(int(data.attrib["size"]) for node in layers if (data := node.find("data[@size]")) is not None)
    if claimed > SHARED * size:
        raise ValueError(f"constants of {claimed} bytes in a .bin file of {size}")


def _tensor(node: ElementTree.Element, packed: bytes) -> Tensor | None:
    if node.attrib["type"] != "Const":
        return None
    data = node.find("data")
    if data is None:
        raise ValueError(f"constant {node.attrib['id']} has no data")
    kind = KINDS[data.attrib["element_type"]]
    shape = [int(side) for side in data.attrib["shape"].split(",") if side.strip()]
    start, size = int(data.attrib["offset"]), int(data.attrib["size"])
    if min([start, *shape], default=0) < 0 or size != math.prod(shape) * kind.itemsize or start + size > len(packed):
        raise ValueError(f"constant {node.attrib['id']} of shape {shape} lies outside the .bin file")
    return torch.frombuffer(bytearray(packed[start : start + size]), dtype=kind).reshape(shape)
