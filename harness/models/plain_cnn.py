"""A plain convolutional network, unlike the residual ones: for evaluators, which must differ from their target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.training.global_rng import seeded
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run

STRIDED_FROM = 48  # sides from which the first convolution halves the picture
SLOPE = 0.1  # of the leaky rectifiers


class MeanAndMax(nn.Module):
    """``(N, F, H, W)`` to means and maxima over all places, normalised, ``(N, 2F)``.

    Args:
        channels: F.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2 * channels)

    def forward(self, h: Tensor) -> Tensor:
        """Pools."""
        out: Tensor = self.norm(torch.cat([h.mean((2, 3)), h.amax((2, 3))], dim=1))
        return out


def layer(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, leaky rectifier; keeps the sides but for the stride."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)]


@dataclass(frozen=True)
class PlainCNN(Model):
    """A plain convolutional network for pictures of 28 to 64 pixels; an evaluator for residual targets.

    Stages ``conv1`` to ``conv4``, each of which halves the sides (``conv1`` only those of 48 pixels or more), and
    ``pool``: means and maxima over all places.

    Attributes:
        width: Channels of the first stage; features have sixteen times as many.
        size: Side that pictures are resized to; None takes them as they are.
    """

    paper: ClassVar[str] = (
        "after Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015"
    )

    width: Annotated[int, Field(ge=4)] = 24
    size: Annotated[int, Field(ge=16)] | None = None

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """The network with random weights."""
        channels, side, w = shape[0], self.size or min(shape[1:]), self.width
        with seeded(run, "initial weights"):
            stages: dict[str, nn.Module] = {
                "conv1": nn.Sequential(*layer(channels, w, 5, 2 if side >= STRIDED_FROM else 1)),
                "conv2": nn.Sequential(*layer(w, 2 * w), nn.MaxPool2d(2)),
                "conv3": nn.Sequential(*layer(2 * w, 4 * w), *layer(4 * w, 4 * w), nn.MaxPool2d(2)),
                "conv4": nn.Sequential(*layer(4 * w, 8 * w), nn.MaxPool2d(2)),
                "pool": MeanAndMax(8 * w),
            }
            head = nn.Linear(16 * w, classes)
        half = (0.5,) * channels
        net = Classifier(stages, head, classes=classes, mean=half, std=half, size=self.size)
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
