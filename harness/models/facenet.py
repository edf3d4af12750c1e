"""FaceNet: Inception-ResNet-v1 trained to embed faces, for judging reconstructions of faces, never for attacking.

After Szegedy et al. 2016, figures 9 to 15 for Inception-ResNet-v1, in the variant that was trained on VGGFace2: batch
norm after each convolution, residuals scaled by .17, .10 and .20, one more 8x8 block without a ReLU, and a linear layer
with batch norm that gives the embedding. Modules have the published checkpoint's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import read
from unveil.harness.models.embedder import Embedder

ASSET = "facenet"
SIDE = 160
EMBEDDING = 512
EPS = 1e-3  # of every batch norm
MEAN, STD = 127.5 / 255, 128 / 255  # (255 x - 127.5) / 128

Kernel = int | tuple[int, int]


class Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU.

    Args:
        before: Channels in.
        after: Channels out.
        kernel: Its sides.
        stride: Its stride.
        same: Whether to pad so that a stride of 1 keeps the sides.
    """

    def __init__(self, before: int, after: int, kernel: Kernel, stride: int = 1, *, same: bool = False) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        pad = (height // 2, width // 2) if same else 0
        self.conv = nn.Conv2d(before, after, (height, width), stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H', W')``."""
        return torch.relu(self.bn(self.conv(x)))


def row(before: int, *steps: tuple[int, Kernel]) -> nn.Module:
    """Convolutions one after the other that keep the sides, each (channels out, kernel)."""
    made: list[nn.Module] = []
    for after, kernel in steps:
        made.append(Conv(before, after, kernel, same=True))
        before = after
    return made[0] if len(made) == 1 else nn.Sequential(*made)


class Branches(nn.Module):
    """Branches side by side, their channels joined.

    Args:
        branches: In the order of their channels; the names are ``branch0``, ``branch1`` and so on.
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)
        self.count = len(branches)

    def joined(self, x: Tensor) -> Tensor:
        """What the branches make of x."""
        return torch.cat([self.get_submodule(f"branch{i}")(x) for i in range(self.count)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """A reduction: the joined branches, which halve the sides."""
        return self.joined(x)


class Residual(Branches):
    """``relu(x + scale * up(branches(x)))``, where up is a 1x1 convolution with bias.

    Args:
        channels: In and out.
        joined: Channels of the branches together.
        scale: Of the residual.
        branches: See ``Branches``.
        relu: Whether the sum is rectified.
    """

    def __init__(self, channels: int, joined: int, scale: float, *branches: nn.Module, relu: bool = True) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.scale, self.relu = scale, relu

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to the same shape."""
        out: Tensor = x + self.scale * self.conv2d(self.joined(x))
        return torch.relu(out) if self.relu else out


def block35() -> Residual:
    """Inception-ResNet-A (figure 10), on 17x17 places for a picture of 160 pixels."""
    branches = row(256, (32, 1)), row(256, (32, 1), (32, 3)), row(256, (32, 1), (32, 3), (32, 3))
    return Residual(256, 96, 0.17, *branches)


def block17() -> Residual:
    """Inception-ResNet-B (figure 11), on 8x8 places."""
    return Residual(896, 256, 0.10, row(896, (128, 1)), row(896, (128, 1), (128, (1, 7)), (128, (7, 1))))


def block8(scale: float = 0.20, *, relu: bool = True) -> Residual:
    """Inception-ResNet-C (figure 13), on 3x3 places."""
    branches = row(1792, (192, 1)), row(1792, (192, 1), (192, (1, 3)), (192, (3, 1)))
    return Residual(1792, 384, scale, *branches, relu=relu)


def reduction_a() -> Branches:
    """Figure 7 with k, l, m, n = 192, 192, 256, 384: 256 channels to 896."""
    tower = nn.Sequential(Conv(256, 192, 1), Conv(192, 192, 3, same=True), Conv(192, 256, 3, 2))
    return Branches(Conv(256, 384, 3, 2), tower, nn.MaxPool2d(3, 2))


def reduction_b() -> Branches:
    """Figure 12: 896 channels to 1792."""
    return Branches(
        nn.Sequential(Conv(896, 256, 1), Conv(256, 384, 3, 2)),
        nn.Sequential(Conv(896, 256, 1), Conv(256, 256, 3, 2)),
        nn.Sequential(Conv(896, 256, 1), Conv(256, 256, 3, same=True), Conv(256, 256, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


class Pool(nn.Module):
    """Mean over all places, and dropout while training."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C)``."""
        return nn.functional.dropout(x.mean((2, 3)), 0.6, self.training)


def stages() -> dict[str, nn.Module]:
    """The stem (figure 14), the three rows of residual blocks with their reductions, and the embedding."""
    return {
        "conv2d_1a": Conv(3, 32, 3, 2),
        "conv2d_2a": Conv(32, 32, 3),
        "conv2d_2b": Conv(32, 64, 3, same=True),
        "maxpool_3a": nn.MaxPool2d(3, 2),
        "conv2d_3b": Conv(64, 80, 1),
        "conv2d_4a": Conv(80, 192, 3),
        "conv2d_4b": Conv(192, 256, 3, 2),
        "repeat_1": nn.Sequential(*(block35() for _ in range(5))),
        "mixed_6a": reduction_a(),
        "repeat_2": nn.Sequential(*(block17() for _ in range(10))),
        "mixed_7a": reduction_b(),
        "repeat_3": nn.Sequential(*(block8() for _ in range(5))),
        "block8": block8(1.0, relu=False),
        "avgpool_1a": Pool(),
        "last_linear": nn.Linear(1792, EMBEDDING, bias=False),
        "last_bn": nn.BatchNorm1d(EMBEDDING, eps=EPS),
    }


@dataclass(frozen=True)
class FaceNet(Embedder):
    """The face embedder that the literature measures delta_face with, and a linear head on its 512 features.

    Pictures are resized to 160x160 pixels, each normalised as (255 x - 127.5) / 128; grey ones count as three equal
    channels. The embedding of published numbers is the features at unit length, which is for whoever measures to do.
    Stages are named as in the published checkpoint.

    Attributes:
        weights: ``"none"`` (random), ``"asset"`` (VGGFace2, see ``unveil assets``; placed by hand) or a checkpoint
            with the published names: ``.safetensors``, ``.pt`` or ``.pth``. Its ``logits`` are not used.
        frozen: Whether only the head trains, so that the judge stays the embedder it was.
    """

    paper: ClassVar[str] = "Szegedy et al., Inception-v4, AAAI 2017; Schroff et al., FaceNet, CVPR 2015"
    asset: ClassVar[str] = ASSET
    features: ClassVar[int] = EMBEDDING
    mean: ClassVar[Sequence[float]] = (MEAN,) * 3
    std: ClassVar[Sequence[float]] = (STD,) * 3
    size: ClassVar[int] = SIDE

    def body(self) -> dict[str, nn.Module]:
        """The stages, with random weights."""
        return stages()

    def fill(self, body: nn.ModuleDict, path: Path) -> tuple[str, ...]:
        """Puts a checkpoint's tensors into the stages, by name."""
        return files.load(body, read(path), head="logits")
