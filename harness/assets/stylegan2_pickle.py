"""Turns the published StyleGAN2-ADA pickles into safetensors, executing nothing from them."""

from __future__ import annotations

import io
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from unveil.harness.assets.inert_pickle import Name, Reader, StandIn, refused
from unveil.harness.assets.weights import checksum
from unveil.harness.words.errors import WeightsError

FORMAT = "unveil stylegan2 1"
LARGEST = 4 << 30  # bytes; the 1024-pixel networks have 0.4 GB
MOST_TENSORS = 10_000
DEEPEST = 16
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TYPES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "BoolStorage": torch.bool,
}  # fmt: skip
FIR = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


@dataclass(frozen=True)
class Module:
    """What was an ``nn.Module``: its attributes."""

    state: Mapping[str, Any]


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


def tensors_of(module: Module) -> dict[str, Tensor]:
    """Parameters and buffers of a module and those below it, by dotted name.

    Raises:
        WeightsError: If the nesting has no end, or there are too many.
    """
    found: dict[str, Tensor] = {}
    for prefix, part in modules(module):
        for kind in ("_parameters", "_buffers"):
            table = part.state.get(kind)
            for name, value in table.items() if type(table) is dict else ():
                if value is not None and not isinstance(value, Tensor):
                    raise refused(f"{prefix}{name} is a {type(value).__name__}")
                if value is not None:
                    found[prefix + name] = value
    return found


def modules(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """A module and all below it, with what their tensors' names begin with."""
    waiting = [(prefix, module)]
    for _ in range(MOST_TENSORS):
        if not waiting:
            return
        prefix, part = waiting.pop(0)
        yield prefix, part
        below = part.state.get("_modules")
        for name, child in below.items() if type(below) is dict else ():
            if type(child) is not Module or prefix.count(".") >= DEEPEST:
                raise refused(f"{prefix}{name} is no module, or lies too deep")
            waiting.append((f"{prefix}{name}.", child))
    raise refused(f"it has more than {MOST_TENSORS} modules")


def sizes(module: Module, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of a generator, as `unveil.attacks.priors.style_layers.Layout` takes them.

    Raises:
        WeightsError: If it is no StyleGAN2 of the published kind.
    """
    parts = dict(modules(module))
    _require(parts, {"": {"c_dim": 0}, "mapping.fc0.": {"activation": "lrelu", "bias_gain": 0.01}})
    _require(parts, {name: {"architecture": "skip"} for name in parts if _is_block(name, "synthesis.")})
    _require(parts, {name: {"use_noise": True} for name in parts if name.endswith((".conv0.", ".conv1."))})
    depth = sum(name.startswith("mapping.fc") for name in parts)
    widths = {r: len(state[f"synthesis.b{r}.conv1.weight"]) for r in _resolutions(parts, "synthesis.")}
    return {
        **_common(parts, state, "synthesis.", widths),
        "channels": len(state[f"synthesis.b{max(widths)}.torgb.weight"]),
        "z_dim": state["mapping.fc0.weight"].shape[1],
        "w_dim": len(state["mapping.w_avg"]),
        "mapping_layers": depth,
    }


def critic_sizes(module: Module, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of a discriminator; otherwise like ``sizes``."""
    parts = dict(modules(module))
    _require(parts, {"": {"c_dim": 0}, "b4.mbstd.": {"num_channels": 1}})
    _require(parts, {name: {"architecture": "resnet"} for name in parts if _is_block(name, "")})
    widths = {r: state[f"b{r}.conv0.weight"].shape[1] for r in _resolutions(parts, "") if r > 4}
    widths[4] = len(state["b4.conv.weight"])
    group = parts["b4.mbstd."].state["group_size"]
    if type(group) is not int or group < 1:
        raise refused("its discriminator judges whole batches together")
    return {
        **_common(parts, state, "", widths),
        "channels": state[f"b{max(widths)}.fromrgb.weight"].shape[1],
        "group": group,
    }


def _is_block(name: str, prefix: str) -> bool:
    return name.startswith(f"{prefix}b") and name[len(prefix) + 1 : -1].isdigit()


def _resolutions(parts: Mapping[str, Module], prefix: str) -> list[int]:
    return [int(name[len(prefix) + 1 : -1]) for name in parts if _is_block(name, prefix)]


def _common(
    parts: Mapping[str, Module], state: Mapping[str, Tensor], prefix: str, widths: Mapping[int, int]
) -> dict[str, Any]:
    for name, value in state.items():
        if name.endswith("resample_filter") and not torch.allclose(value.float(), torch.outer(FIR, FIR)):
            raise refused(f"{name} is not the filter [1, 3, 3, 1]")
    top, widest = max(widths), max(widths.values())
    base = widths[top] * top
    clamp = parts[f"{prefix}b{top}.conv1."].state["conv_clamp"]
    odd = {r: n for r, n in widths.items() if n != min(base // r, widest)}
    if odd or type(clamp) not in (int, float, type(None)):
        raise refused(f"it has channels {odd} or a clamp of no published setting")
    _require(parts, {n: {"conv_clamp": clamp} for n in parts if n.endswith((".conv0.", ".conv1.", ".torgb."))})
    return {"resolution": top, "channel_base": base, "channel_max": widest, "clamp": clamp}


def _require(parts: Mapping[str, Module], wanted: Mapping[str, Mapping[str, Any]]) -> None:
    for name, facts in wanted.items():
        for key, value in facts.items():
            found = parts[name].state.get(key) if name in parts else None
            if type(found) is not type(value) or found != value:
                shown = found if type(found) in (int, float, bool) else type(found).__name__
                raise refused(f"{name}{key} is {shown}, not {value!r}", "StyleGAN2 without classes only")
