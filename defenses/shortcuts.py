"""Residual and dense blocks as networks have them, with their shortcuts scaled or taken away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

# Where each kind of residual block keeps its shortcut; identity shortcuts are an Identity or None there.
SHORTCUTS = {
    "unveil.harness.models.small_resnet.Residual": "shortcut",
    "unveil.harness.models.ir.Unit": "shortcut_layer",
    "timm.models.resnet.BasicBlock": "downsample",
    "timm.models.resnet.Bottleneck": "downsample",
    "timm.models.maxxvit.MbConvBlock": "shortcut",
}


class Scaled(nn.Sequential):
    """A shortcut times a factor; its parameters keep their names.

    Attributes:
        keeping: Whether the shortcut is for now as it was; False until somebody sets it.

    Args:
        shortcut: What to scale: a row of modules, None or without modules for the identity.
        scale: The factor.
    """

    def __init__(self, shortcut: nn.Module | None, scale: float) -> None:
        super().__init__(OrderedDict(() if shortcut is None else shortcut.named_children()))
        self.scale, self.keeping = scale, False

    def forward(self, x: Tensor) -> Tensor:
        """Like the shortcut's; a zero without axes if nothing is left of it."""
        if not (self.keeping or self.scale):
            return x.new_zeros(())
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return out if self.keeping else self.scale * out


class Removed(nn.Module):
    """No shortcut: a zero to add, whatever the shape."""

    def forward(self, x: Tensor) -> Tensor:
        """A zero without axes."""
        return x.new_zeros(())


class ScaledDense(nn.ModuleDict):
    """A dense block in which whatever skips a layer is scaled: each layer, and the block, sees only the newest in full.

    Attributes:
        keeping: As of `Scaled`.

    Args:
        block: Of timm's DenseNet: layers that take a list of what came before them.
        scale: The factor.
    """

    def __init__(self, block: nn.Module, scale: float) -> None:
        super().__init__(OrderedDict(block.named_children()))
        self.scale, self.keeping = scale, False

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C + layers * growth, H, W)``."""
        found = [x]
        for layer in self.values():
            found.append(layer(self._thinned(found)))
        return torch.cat(self._thinned(found), 1)

    def _thinned(self, found: Sequence[Tensor]) -> list[Tensor]:
        return list(found) if self.keeping else [*(self.scale * one for one in found[:-1]), found[-1]]


class ScaledAttention(nn.Module):
    """A transformer's block of attention and MLP with both shortcuts scaled; its parameters keep their names.

    Attributes:
        keeping: As of `Scaled`.

    Args:
        block: Of timm's ViT or MaxViT: normalise first, then add.
        scale: The factor.
    """

    def __init__(self, block: nn.Module, scale: float) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.scale, self.keeping = scale, False
        self._partitioned: Callable[[Tensor], Tensor] | None = getattr(block, "_partition_attn", None)  # MaxViT's

    def forward(self, x: Tensor) -> Tensor:
        """Tokens to tokens of the same shape."""
        scale = 1.0 if self.keeping else self.scale
        x = scale * x + self._branch("1", self._partitioned or self.get_submodule("attn"), x)
        return scale * x + self._branch("2", self.get_submodule("mlp"), x)

    def _branch(self, number: str, what: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        norm, layer_scale, drop_path = (self.get_submodule(f"{part}{number}") for part in ("norm", "ls", "drop_path"))
        out: Tensor = drop_path(layer_scale(what(norm(x))))
        return out


REBUILT: Mapping[str, type[ScaledDense] | type[ScaledAttention]] = {
    "timm.models.densenet.DenseBlock": ScaledDense,
    "timm.models.vision_transformer.Block": ScaledAttention,
    "timm.models.maxxvit.PartitionAttentionCl": ScaledAttention,
}
KINDS = (*SHORTCUTS, *REBUILT)
SWITCHED = (Scaled, ScaledDense, ScaledAttention)
Parents: TypeAlias = nn.ModuleDict
"""Stages, of which one may itself be a block."""


def blocks(stages: Parents, name: str) -> Iterator[str]:
    """Paths, from the stages on, of a stage's blocks that have shortcuts, changed or not, in order."""
    for path, module in stages.named_modules():
        known = kind(module) in KINDS or isinstance(module, ScaledDense | ScaledAttention)
        if known and path.partition(".")[0] == name:
            yield path


def changed(block: nn.Module) -> bool:
    """Whether its shortcuts are not what they were."""
    attribute = SHORTCUTS.get(kind(block))
    return isinstance(block if attribute is None else getattr(block, attribute), (*SWITCHED, Removed))


def rescale(stages: Parents, path: str, scale: float, *, gone: bool) -> None:
    """Scales the shortcuts of a block; those that are gone, and are modules, take their parameters along."""
    block = stages.get_submodule(path)
    attribute = SHORTCUTS.get(kind(block))
    if attribute is None:
        stages.set_submodule(path, REBUILT[kind(block)](block, scale))
        return
    setattr(block, attribute, Removed() if gone else Scaled(getattr(block, attribute), scale))
    if gone:
        _wake(block)


def kind(module: nn.Module) -> str:
    """The full name of its class."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _wake(block: nn.Module) -> None:
    """Sets norms that multiply with zero to one: without a shortcut nothing, not even a gradient, passes them."""
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and module.affine and not bool(module.weight.any()):
            nn.init.ones_(module.weight)
