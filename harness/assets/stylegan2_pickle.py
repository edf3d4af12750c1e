"""Turns the published StyleGAN2-ADA pickles into safetensors, executing nothing from them."""

from __future__ import annotations

import io
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from unveil.harness.assets.inert_pickle import Name, Reader, StandIn, refused
from unveil.harness.assets.stylegan2_sizes import Module, critic_sizes, sizes, tensors_of
from unveil.harness.assets.weights import checksum
from unveil.harness.words.errors import WeightsError

FORMAT = "unveil stylegan2 1"
LARGEST = 4 << 30  # bytes; the 1024-pixel networks have 0.4 GB
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TYPES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "BoolStorage": torch.bool,
}  # fmt: skip


def convert(source: Path, out: Path) -> dict[str, Any]:
    """Writes the averaged generator, and the discriminator if there is one, as safetensors.

    Tensors are named as in the source, below ``generator.`` and ``critic.``; sizes and the source's checksum are in the
    file's metadata.

    Args:
        source: A ``.pkl`` of StyleGAN2-ADA for PyTorch.
        out: Where to write.

    Returns:
        The metadata: sizes of the networks by part, and the checksum.

    Raises:
        WeightsError: If the file is missing, damaged, malicious, or not a StyleGAN2 that this project can rebuild.
    """
    found = load(source)
    if type(found) is not dict or type(found.get("G_ema")) is not Module:
        raise refused("it holds no G_ema, the averaged generator")
    parts = {"generator": found["G_ema"], "critic": found.get("D")}
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Any] = {"format": FORMAT, "source": checksum(source)}
    for part, module in parts.items():
        if type(module) is Module:
            state = tensors_of(module)
            facts[part] = _measured(part, module, state)
            tensors.update({f"{part}.{name}": value for name, value in state.items()})
    if sum(value.numel() for value in tensors.values()) > source.stat().st_size:  # a number takes two bytes or more
        raise refused("its tensors are larger than the file")
    try:
        metadata = {key: value if type(value) is str else json.dumps(value) for key, value in facts.items()}
        unfinished = out.with_name(f"{out.name}.part")
        safetensors.torch.save_file({k: _plain(k, v) for k, v in tensors.items()}, unfinished, metadata)
        os.replace(unfinished, out)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{out} cannot be written: {error}", "a folder with room", "choose another place") from error
    return facts


def _measured(part: str, module: Module, state: Mapping[str, Tensor]) -> dict[str, Any]:
    try:
        return sizes(module, state) if part == "generator" else critic_sizes(module, state)
    except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
        raise refused(
            f"its {part} is laid out differently ({error})", "StyleGAN2 only: no other version fits"
        ) from error


def _plain(name: str, value: Tensor) -> Tensor:
    value = value.to(torch.float32, copy=True).contiguous()
    if not value.isfinite().all():
        raise refused(f"{name} is not finite")
    return value


def load(source: Path) -> Any:
    """The containers, tensors and modules in a pickle.

    Raises:
        WeightsError: If it cannot be read, or holds anything else.
    """
    try:
        if source.exists() and not (source.is_file() or source.is_dir()):
            raise refused("it is no file, but a device or a pipe")
        size = source.stat().st_size
        if size > LARGEST:
            raise refused(f"it has {size} bytes, more than {LARGEST}")
        data = source.read_bytes()
    except OSError as error:
        raise WeightsError(f"{source} cannot be read: {error}", "a StyleGAN2-ADA .pkl", "correct the path") from error
    if data[:2] == b"PK":
        raise refused("it is a zip archive, as torch.save writes it")
    return Reader(_Stored(len(data)).known()).read(io.BytesIO(data))


class _Stored:
    """What stands in for the functions that a network's pickle calls.

    Args:
        size: Bytes of the file, of which all its tensors together are a part.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def known(self) -> Mapping[str, StandIn]:
        return {
            "collections.OrderedDict": _ordered,
            "builtins.set": _list,
            "__builtin__.set": _list,
            "dnnlib.util.EasyDict": _ordered,
            "torch_utils.persistence._reconstruct_persistent_obj": _module,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": _parameter,
            "torch.storage._load_from_bytes": self._storage,
        }

    def _storage(self, arguments: tuple[Any, ...]) -> Tensor:
        (data,) = arguments
        if type(data) is not bytes:
            raise refused("a storage is not made of bytes")
        self._left -= len(data)
        if self._left < 0:
            raise refused("its storages are larger than the file")
        return legacy_storage(data)


def _ordered(arguments: tuple[Any, ...]) -> dict[str, Any]:
    if arguments not in ((), ({},)):
        raise refused("a table is filled by its constructor")
    return {}


def _list(arguments: tuple[Any, ...]) -> list[Any]:
    (items,) = arguments or ([],)
    if type(items) is not list:
        raise refused("a set is not made from a list")
    return items


def _module(arguments: tuple[Any, ...]) -> Module:
    (meta,) = arguments
    if type(meta) is not dict or meta.get("type") != "class" or type(meta.get("state")) is not dict:
        raise refused("a module has no state")
    return Module(meta["state"])  # its source code, module_src, is never looked at


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    value = arguments[0]
    if not isinstance(value, Tensor):
        raise refused("a parameter is not a tensor")
    return value


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    storage, offset, size, stride, *_ = arguments
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Tensor) or any(type(n) is not int or not 0 <= n < 1 << 40 for n in numbers):
        raise refused("a tensor has no storage, or sizes that are no numbers")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if len(size) > 8 or math.prod(size) > len(storage) or (math.prod(size) and last >= len(storage)):
        raise refused(f"a tensor of shape {tuple(size)} in a storage of {len(storage)} numbers")
    return storage.as_strided(size, stride, offset)


def legacy_storage(data: bytes) -> Tensor:
    """The numbers in what ``torch.save`` of one storage writes in its older format, which pickles hold.

    Raises:
        WeightsError: If it is anything else.
    """
    file = io.BytesIO(data)
    reader = Reader({f"torch.{name}": _never for name in TYPES}, persistent=_described)
    if reader.read(file) != LEGACY_MAGIC or reader.read(file) != LEGACY_PROTOCOL:
        raise refused("a storage is in a format of its own")
    system, described, keys = reader.read(file), reader.read(file), reader.read(file)
    if type(system) is not dict or system.get("little_endian") is not True or type(described) is not _Described:
        raise refused("a storage was written on another kind of machine, or is none")
    dtype, count = described.dtype, described.count
    width = torch.empty(0, dtype=dtype).element_size()
    raw = data[file.tell() :]
    if keys != [described.key] or len(raw) != 8 + count * width or struct.unpack("<q", raw[:8])[0] != count:
        raise refused(f"a storage says that it has {count} numbers, but has {max(0, len(raw) - 8)} bytes")
    return torch.frombuffer(bytearray(raw[8:]), dtype=dtype) if count else torch.empty(0, dtype=dtype)


@dataclass(frozen=True)
class _Described:
    dtype: torch.dtype
    key: str
    count: int


def _never(arguments: tuple[Any, ...]) -> Any:  # noqa: ARG001
    raise refused("a storage calls its own type")


def _described(pid: Any) -> _Described:
    kind, storage, key, _, count, *_ = pid
    if kind != "storage" or type(storage) is not Name or type(key) is not str or type(count) is not int or count < 0:
        raise refused("a storage is described in another way")
    return _Described(TYPES[storage.text.removeprefix("torch.")], key, count)
