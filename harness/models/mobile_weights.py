"""Puts the published MobileStyleGAN into networks of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from unveil.harness.assets import fetch as assets
from unveil.harness.assets.openvino_ir import Layer, Network, read
from unveil.harness.assets.weights import require_numbers
from unveil.harness.models.mobile_networks import Features, Mapping, Modulated, ToPicture
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.run import Run, draw_normal

ASSET = "mobilestylegan"
STYLES_IN_THE_MEAN = 4096
CONVOLUTIONS = ("Convolution", "GroupConvolution")  # wavelets are transposed ones, and fixed


@dataclass(frozen=True)
class Supply:
    """The tensors of a synthesis network by what they are for, each kind in the order of use.

    Attributes:
        styles: Weight and bias of each modulation, whatever scales them multiplied in.
        kernels: Of the convolutions.
        noises: Constant noise ``(1, 1, H, H)``.
        biases: ``(C,)``.
    """

    styles: Iterator[tuple[Tensor, Tensor]]
    kernels: Iterator[Tensor]
    noises: Iterator[Tensor]
    biases: Iterator[Tensor]


@torch.no_grad()
def load_published(mapping: Mapping, features: Features, end: nn.Module) -> None:
    """Fills networks on the CPU from the asset: mapping, mean, synthesis, and its end if that is no small head.

    Raises:
        AssetError: If it cannot be had.
        WeightsError: If it is not that network.
    """
    folder = assets.path(ASSET)
    load_mapping(mapping, folder)
    load_synthesis(features, end, folder)
    z = draw_normal([Run("mean style").generator("z")], (STYLES_IN_THE_MEAN, len(mapping.w_avg)))[0]
    mapping.w_avg.copy_(mapping(z).mean(0))


@torch.no_grad()
def load_mapping(mapping: Mapping, folder: Path) -> None:
    """Fills the mapping network but for its mean.

    Raises:
        WeightsError: If the file is not that network.
    """
    found = read(folder / "MappingNetwork.xml")
    layers = list(found.layers.values())
    weights = _constants(found, [layer for layer in layers if layer.kind == "MatMul"])
    biases = _constants(found, [layer for layer in layers if layer.kind == "Reshape"])
    _fill(found, [layer.weight for layer in _linear(mapping)], weights)
    _fill(found, [layer.bias for layer in _linear(mapping)], biases)


@torch.no_grad()
def load_synthesis(features: Features, end: nn.Module, folder: Path) -> None:
    """Fills the synthesis network up to a resolution, and its end if that is the whole network's.

    Raises:
        WeightsError: If the file is not that network.
    """
    found = read(folder / "SynthesisNetwork.xml")
    supply = _supply(found)
    const = [found.constant(layer) for layer in found.layers.values() if layer.kind == "Broadcast"]
    _put(found, features.const, next((c for c in const if c is not None and c.ndim == 4), None))
    _modulated(found, features.first, supply)
    for block in features.blocks:
        _style(found, block.style, supply)  # type: ignore[arg-type]
        _modulated(found, block.first, supply)  # type: ignore[arg-type]
        _modulated(found, block.second, supply)  # type: ignore[arg-type]
    if isinstance(end, ToPicture):
        _style(found, end.style, supply)
        _put(found, end.conv.weight, next(supply.kernels, None))
        _put(found, end.conv.bias, next(supply.biases, None))


def _supply(found: Network) -> Supply:
    layers = list(found.layers.values())
    added = [t for layer in layers if layer.kind == "Add" and (t := found.constant(layer)) is not None and t.ndim == 4]
    modulations = [layer for layer in layers if layer.kind == "Multiply" and found.constant(layer) is None]
    return Supply(
        (_affine(found, layer) for layer in modulations),
        iter(_constants(found, [layer for layer in layers if layer.kind in CONVOLUTIONS])),
        (t for t in added if t.shape[1] == 1 and t.shape[2] > 1),
        (t.flatten() for t in added if t.shape[2] == 1),
    )


def _affine(found: Network, modulation: Layer) -> tuple[Tensor, Tensor]:
    """Follows a modulation back through reshaping, scaling and bias to the style's matrix."""
    for start in found.flowing(modulation):
        layer, scale, bias = start, torch.ones(()), None
        while layer.kind in ("Multiply", "Reshape", "Add"):
            constant = found.constant(layer)
            if layer.kind == "Multiply" and constant is not None and constant.numel() == 1:
                scale = scale * constant.reshape(())
            elif layer.kind == "Add" and constant is not None and constant.ndim == 2:
                bias = constant.flatten()
            elif layer.kind != "Reshape":
                break
            layer = next(found.flowing(layer))
        matrix = found.constant(layer)
        if layer.kind == "MatMul" and matrix is not None and bias is not None:
            return matrix * scale, bias * scale
    raise _odd(found, "a modulation that is no linear function of the style")


def _modulated(found: Network, layer: Modulated, supply: Supply) -> None:
    _style(found, layer.style, supply)
    for conv in (layer.depthwise, layer.conv):
        if conv is not None:
            _put(found, conv.weight, next(supply.kernels, None))
    _put(found, layer.noise, next(supply.noises, None))
    _put(found, layer.conv.bias, next(supply.biases, None))


def _style(found: Network, layer: nn.Linear, supply: Supply) -> None:
    weight, bias = next(supply.styles, (None, None))
    _put(found, layer.weight, weight)
    _put(found, layer.bias, bias)


def _linear(mapping: Mapping) -> list[nn.Linear]:
    return [layer for layer in mapping.layers if isinstance(layer, nn.Linear)]


def _constants(found: Network, layers: list[Layer]) -> list[Tensor]:
    return [t for layer in layers if (t := found.constant(layer)) is not None and t.is_floating_point()]


def _fill(found: Network, places: list[Tensor], tensors: list[Tensor]) -> None:
    if len(places) != len(tensors):
        raise _odd(found, f"{len(tensors)} layers where {len(places)} are expected")
    for place, tensor in zip(places, tensors, strict=True):
        _put(found, place, tensor)


def _put(found: Network, place: Tensor | None, tensor: Tensor | None) -> None:
    assert place is not None
    if tensor is None or tensor.squeeze().shape != place.squeeze().shape:
        raise _odd(found, f"{'nothing' if tensor is None else tuple(tensor.shape)} where {tuple(place.shape)} belongs")
    require_numbers({"a layer": tensor}, str(found.path))
    place.copy_(tensor.reshape(place.shape))


def _odd(found: Network, what: str) -> WeightsError:
    return WeightsError(
        f"{found.path} holds {what}", "the published MobileStyleGAN (FFHQ, 1024 pixels)", "fetch the asset again"
    )
