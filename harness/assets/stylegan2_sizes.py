"""Sizes of the networks in a StyleGAN2-ADA pickle, read from what their modules say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unveil.harness.assets.inert_pickle import refused

MOST_TENSORS = 10_000
DEEPEST = 16
FIR = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


@dataclass(frozen=True)
class Module:
    """What was an ``nn.Module``: its attributes."""

    state: Mapping[str, Any]


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
