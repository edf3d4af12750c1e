"""Splits a timm classifier into a chain of named stages, read off its module structure.

timm registers the parts of a model in the order in which it applies them, under names that its families share. The
split is a guess from those names; whoever asks for it compares the chain with the model's own forward pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

EXPANDED = {"blocks": "block", "stages": "stage", "layers": "stage"}  # a Sequential of stages, and what to call each
STAGE = re.compile(r"(layer|stage|s|block|denseblock|transition|mixed_)\d+[a-z]?", re.IGNORECASE)
TAIL = {"conv_head": "conv_head", "bn2": "conv_head", "pre_logits": "pre_logits"}  # stages after the last block
POOLS = ("global_pool", "head")


class Embed(nn.Module):
    """A vision transformer's patches with class token and position: ``(N, C, H, W)`` to ``(N, T, D)``.

    Args:
        model: A timm VisionTransformer, whose parameters are shared, not copied.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.patch_embed, self.norm_pre = model.patch_embed, model.norm_pre
        self.cls_token, self.pos_embed = model.cls_token, model.pos_embed

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(N, T, D)`` of normalised pixels."""
        tokens: Tensor = self.patch_embed(x)
        joint = self.pos_embed.shape[1] != tokens.shape[1]  # the class token has a position, too
        tokens = tokens if joint else tokens + self.pos_embed
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        out: Tensor = self.norm_pre(tokens + self.pos_embed if joint else tokens)
        return out


class TokenPool(nn.Module):
    """Tokens ``(N, T, D)`` to features ``(N, D)``: the class token, or the mean of the others.

    Args:
        prefix: Number of tokens before the patches.
        mean: Whether to average.
    """

    def __init__(self, prefix: int, mean: bool) -> None:
        super().__init__()
        self.prefix, self.mean = prefix, mean

    def forward(self, tokens: Tensor) -> Tensor:
        """Pools."""
        return tokens[:, self.prefix :].mean(1) if self.mean else tokens[:, 0]


def split(model: nn.Module) -> dict[str, nn.Module]:
    """Named stages of a timm model whose classifier was replaced by the identity.

    Args:
        model: Any timm classifier. Its modules are shared, not copied.

    Returns:
        Stages in order, the last giving features ``(N, F)`` if the guess is right. Empty if there is nothing to
        split by.
    """
    if hasattr(model, "cls_token") and hasattr(model, "blocks"):
        return _transformer(model)
    groups: dict[str, list[nn.Module]] = {}
    stage = "stem"
    for name, child in _parts(model):
        stage = _stage_of(name, stage)
        groups.setdefault(stage, []).append(child)
    if len(groups) < 4:  # a stem, a pool and less than two blocks: no split worth a name
        return {}
    return {name: parts[0] if len(parts) == 1 else nn.Sequential(*parts) for name, parts in groups.items()}


def _transformer(model: nn.Module) -> dict[str, nn.Module]:
    blocks = model.blocks
    assert isinstance(blocks, nn.Sequential)
    pool = TokenPool(int(model.num_prefix_tokens), mean=model.global_pool == "avg")  # type: ignore[arg-type]
    tail = nn.Sequential(model.norm, pool, model.fc_norm)  # type: ignore[arg-type]
    return {"embed": Embed(model), **{f"block{i}": block for i, block in enumerate(blocks)}, "pool": tail}


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Children in order of application, with containers of stages opened."""
    for name, child in model.named_children():
        if name == "features" and isinstance(child, nn.Sequential):
            yield from _features(child)
        elif name in EXPANDED and isinstance(child, nn.Sequential):
            yield from ((f"{EXPANDED[name]}{i}", stage) for i, stage in enumerate(child))
        else:
            yield name, child


def _features(features: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    """Children of ``features``: a VGG's numbered layers become stages ending in a max-pool, others keep their names."""
    if not any(name.isdigit() for name, _ in features.named_children()):
        yield from features.named_children()
        return
    layers: list[nn.Module] = []
    done = 0
    for layer in features:
        layers.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            done += 1
            yield f"block{done}", nn.Sequential(*layers)
            layers = []
    if layers:
        yield f"block{done + 1}", nn.Sequential(*layers)


def _stage_of(name: str, current: str) -> str:
    """The stage that a part belongs to, given the one before it."""
    if STAGE.fullmatch(name):
        return name
    if current in ("stem", "pool") or name in POOLS:
        return "pool" if name in POOLS else current
    return TAIL.get(name, "pool")
