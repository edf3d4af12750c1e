"""VGG16 as the 64-pixel literature attacks it: convolutions with batch norm, then one linear layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from unveil.harness.models.published import AsReleased, Published
from unveil.harness.models.timm import Timm
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels of the convolutions
HALVED = 2 ** len(BLOCKS)
HUB = "vgg16_bn.tv_in1k"  # torchvision's ImageNet weights, as timm has them


class Flat(nn.Module):
    """``(N, 512, s, s)`` to features ``(N, 512 s^2)``, normalised with a scale and without a shift.

    Args:
        features: Their number.
        norm: Whether to normalise.
    """

    def __init__(self, features: int, *, norm: bool) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(features) if norm else None
        if self.bn is not None:
            self.bn.bias.requires_grad_(False)  # counted as a parameter, and 0 for ever, as published

    def forward(self, h: Tensor) -> Tensor:
        """Flattens and normalises."""
        flat = h.flatten(1)
        return flat if self.bn is None else self.bn(flat)


def blocks() -> dict[str, nn.Module]:
    """The convolutions: blocks that end in a max-pool, whose layers are numbered through as torchvision does."""
    found: dict[str, nn.Module] = {}
    number, before = 0, 3
    for i, widths in enumerate(BLOCKS):
        layers: list[nn.Module] = []
        for after in widths:
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before = after
        layers.append(nn.MaxPool2d(2))
        named = OrderedDict((str(number + k), layer) for k, layer in enumerate(layers))
        found[f"block{i + 1}"] = nn.Sequential(named)
        number += len(layers)
    return found


@dataclass(frozen=True)
class VGG16(Published):
    """VGG16 with batch norm, as GMI and its successors attack it: 16,776,232 parameters for 1,000 classes at 64 pixels.

    Stages ``block1`` to ``block5``, whose 44 layers are numbered through (``block4.26``), and ``flat``: all places side
    by side, normalised without a shift. There are no hidden linear layers.

    Attributes:
        weights: ``"none"`` (random), ``"hub"`` (ImageNet, as published; needs a network the first time), or a file: a
            released checkpoint, or torchvision's or timm's of ``vgg16_bn``, of which the convolutions are taken.
        mean: Taken from each colour; 0 as published, whatever the ImageNet weights were trained with.
        std: Each colour is divided by it then; 1 as published.
        size: Side that pictures are resized to; 64 as published.
        norm: Whether the features are normalised. MID's released network does not.
    """

    paper: ClassVar[str] = "Simonyan & Zisserman, ICLR 2015; as attacked by Zhang et al., GMI, CVPR 2020"

    size: Annotated[int, Field(ge=32, multiple_of=32)] = 64
    norm: bool = True

    def bare(self, classes: int) -> Classifier:
        """The network with random weights."""
        features = BLOCKS[-1][-1] * (self.size // HALVED) ** 2
        rows = blocks()
        stages = {**rows, "flat": Flat(features, norm=self.norm)}
        head = nn.Linear(features, classes)
        return Classifier(
            stages, head, classes=classes, mean=self.mean, std=self.std, size=self.size, numbered=tuple(rows)
        )

    def released(self, classifier: Classifier) -> AsReleased:
        """``feature``, ``bn`` and ``fc_layer``; with MID's bottleneck also ``st_layer``."""
        rows = [classifier.stages[name] for name in classifier.numbered]
        feature = nn.Sequential(OrderedDict(layer for row in rows for layer in row.named_children()))
        norm = classifier.stages["flat"].get_submodule("bn") if self.norm else None
        return AsReleased(classifier, {"feature": feature, **({} if norm is None else {"bn": norm})})

    def content(self) -> Mapping[str, str]:
        """Checksum of the weights, or their address at the hub."""
        return Timm(HUB, weights="hub").content() if self.weights == "hub" else super().content()

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """The network with its weights; see `harness.types.Model.build`."""
        classifier = super().build(classes, shape, run)
        if self.weights == "hub":
            donor = Timm(HUB, weights="hub", size=self.size).build(classes, (3, self.size, self.size), run)
            for name in classifier.numbered:
                classifier.stages[name].load_state_dict(_in_order(classifier.stages[name], donor.stages[name]))
        return classifier

    def _file(self) -> Path | None:
        return None if self.weights == "hub" else super()._file()


def _in_order(mine: nn.Module, other: nn.Module) -> dict[str, Tensor]:
    """The tensors of a block that is made alike, by this one's names."""
    return dict(zip(mine.state_dict(), other.state_dict().values(), strict=True))
