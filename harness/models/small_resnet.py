"""A small residual network for small pictures, sized to train on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.training.global_rng import seeded
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run

STRIDED_FROM = 48  # sides from which the stem halves the picture


class Residual(nn.Module):
    """relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)).

    Args:
        before: Channels in.
        after: Channels out.
        stride: Of the first convolution; 2 halves the sides.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv(before, after, stride), nn.ReLU(), *conv(after, after, 1))
        same = before == after and stride == 1
        # The stride is taken in forward: torch 2.13 crashes in the backward pass of strided 1x1 convolutions of fewer
        # than 16 channels (channels last, two threads or more, an odd batch). Skipping pixels first is the same; a mean
        # over one pixel does so, and its gradient is channels last, which a slice's is not: 5 to 8 % of a pass.
        self.stride = stride
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv(before, after, 1, kernel=1))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H / stride, W / stride)``."""
        skipped = x if self.stride == 1 else F.avg_pool2d(x, 1, self.stride)
        return torch.relu(self.body(x) + self.shortcut(skipped))


class MeanPool(nn.Module):
    """``(N, F, H, W)`` to the mean over all places ``(N, F)``."""

    def forward(self, h: Tensor) -> Tensor:
        """Averages."""
        return h.mean((2, 3))


def conv(before: int, after: int, stride: int, kernel: int = 3) -> list[nn.Module]:
    """A convolution that keeps the sides (but for the stride), and its batch norm."""
    return [nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after)]


@dataclass(frozen=True)
class SmallResNet(Model):
    """A small residual network for pictures of 28 to 64 pixels, trained from nothing in seconds.

    Stages ``stem``, ``stage1`` and so on (each but the first halves the sides and doubles the channels) and
    ``pool``. The stem halves pictures of 48 pixels or more.

    Attributes:
        width: Channels of the first stage; features have eight times as many.
        blocks: Residual blocks of each stage, so also how many stages there are.
        size: Side that pictures are resized to; None takes them as they are.
    """

    paper: ClassVar[str] = "after He et al., Deep Residual Learning for Image Recognition, CVPR 2016"

    width: Annotated[int, Field(ge=4)] = 24
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = (1, 1, 1, 1)
    size: Annotated[int, Field(ge=16)] | None = None

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """The network with random weights."""
        channels, side = shape[0], self.size or min(shape[1:])
        with seeded(run, "initial weights"):
            stem = [*conv(channels, self.width, 2 if side >= STRIDED_FROM else 1), nn.ReLU()]
            stages: dict[str, nn.Module] = {"stem": nn.Sequential(*stem)}
            before = self.width
            for i, depth in enumerate(self.blocks):
                after, stride = self.width * 2**i, 1 if i == 0 else 2
                rest = [Residual(after, after, 1) for _ in range(depth - 1)]
                stages[f"stage{i + 1}"] = nn.Sequential(Residual(before, after, stride), *rest)
                before = after
            stages["pool"] = MeanPool()
            head = nn.Linear(before, classes)
        half = (0.5,) * channels
        net = Classifier(stages, head, classes=classes, mean=half, std=half, size=self.size)
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
