"""A network that was trained to tell faces apart: for judging reconstructions of aligned faces, never for attacking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import read
from unveil.harness.models.embedder import Embedder

SIDE = 112  # of an aligned face
EMBEDDING = 128


def conv(
    before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1, *, folded: bool = False
) -> Iterator[nn.Module]:
    """Convolution and batch norm, or a convolution that the batch norm is folded into."""
    pad = 0 if kernel == 7 else kernel // 2  # the last depthwise convolution covers the whole map
    yield nn.Conv2d(before, after, kernel, stride, pad, groups=groups, bias=folded)
    if not folded:
        yield nn.BatchNorm2d(after)


class Bottleneck(nn.Module):
    """Widen, depthwise 3x3, project; adds its input where the shape allows it.

    Args:
        before: Channels in.
        wide: Channels between.
        after: Channels out.
        stride: Of the depthwise convolution; 2 halves the sides and drops the shortcut.
        folded: Whether batch norms are folded into the convolutions.
    """

    def __init__(self, before: int, wide: int, after: int, stride: int, *, folded: bool = False) -> None:
        super().__init__()
        self.residual = stride == 1 and before == after
        self.body = nn.Sequential(
            *conv(before, wide, 1, folded=folded), nn.PReLU(wide),
            *conv(wide, wide, 3, stride, groups=wide, folded=folded), nn.PReLU(wide),
            *conv(wide, after, 1, folded=folded),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H / stride, W / stride)``."""
        out: Tensor = self.body(x)
        return x + out if self.residual else out


def stages(embedding: int = EMBEDDING, *, folded: bool = False) -> dict[str, nn.Module]:
    """The layers of Chen et al., table 1, in the order of published checkpoints.

    Args:
        embedding: Features.
        folded: Whether batch norms are folded into the convolutions, as in files for inference.
    """

    def block(before: int, wide: int, after: int, stride: int) -> Bottleneck:
        return Bottleneck(before, wide, after, stride, folded=folded)

    first, second = conv(3, 64, 3, 2, folded=folded), conv(64, 64, groups=64, folded=folded)
    made: dict[str, nn.Module] = {"stem": nn.Sequential(*first, nn.PReLU(64), *second, nn.PReLU(64))}
    made["down1"] = block(64, 128, 64, 2)
    made["stage1"] = nn.Sequential(*(block(64, 128, 64, 1) for _ in range(4)))
    made["down2"] = block(64, 256, 128, 2)
    made["stage2"] = nn.Sequential(*(block(128, 256, 128, 1) for _ in range(6)))
    made["down3"] = block(128, 512, 128, 2)
    made["stage3"] = nn.Sequential(*(block(128, 256, 128, 1) for _ in range(2)))
    whole = conv(512, 512, 7, groups=512, folded=folded)
    made["top"] = nn.Sequential(*conv(128, 512, 1, folded=folded), nn.PReLU(512), *whole)
    made["embedding"] = nn.Sequential(*conv(512, embedding, 1, folded=folded), nn.Flatten())
    return made


@dataclass(frozen=True)
class MobileFaceNet(Embedder):
    """A face embedder with a linear head on its 128 features: a judge for aligned colour faces of 112 pixels.

    Stages ``stem``, ``down1``, ``stage1``, ``down2``, ``stage2``, ``down3``, ``stage3``, ``top`` and ``embedding``.
    Pictures are resized to 112x112 and must be aligned to ArcFace's five points, as its training pictures were.

    Attributes:
        weights: ``"none"`` (random) or a checkpoint: ``.safetensors``, ``.pt`` or ``.pth``. Tensors are taken in
            order, whatever their names; a head of the checkpoint is not among them.
        frozen: Whether only the head trains, so that the judge stays the embedder it was.
    """

    paper: ClassVar[str] = "Chen et al., MobileFaceNets, CCBR 2018"
    features: ClassVar[int] = EMBEDDING
    mean: ClassVar[Sequence[float]] = (0.5,) * 3
    std: ClassVar[Sequence[float]] = (0.5,) * 3
    size: ClassVar[int] = SIDE

    def body(self) -> dict[str, nn.Module]:
        """The stages, with random weights."""
        return stages()

    def fill(self, body: nn.ModuleDict, path: Path) -> tuple[str, ...]:
        """Puts a checkpoint's tensors into the stages, in order."""
        return files.load_in_order(body, read(path), head="head")
