"""Face networks of improved residual units, as the 64-pixel literature attacks them and judges with them.

After Deng et al., ArcFace, CVPR 2019: units that normalise first, halve in the second convolution, and have PReLUs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.models.published import AsReleased, Published
from unveil.harness.words.classifier import Classifier

WIDTHS = (64, 128, 256, 512)
HALVED = 2 ** len(WIDTHS)
EMBEDDING = 512
LAST = "output_layer.3"  # the linear layer of the backbone, whose shape is the picture's


class Unit(nn.Module):
    """``res(x) + shortcut(x)``; neither is followed by a rectifier.

    Args:
        before: Channels in.
        after: Channels out.
        stride: Of the second convolution; 2 halves the sides.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        if before == after:
            self.shortcut_layer = nn.Sequential(nn.MaxPool2d(1, stride))  # every other pixel
        else:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.PReLU(after),
            nn.Conv2d(after, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H / stride, W / stride)``."""
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


def stages(units: Sequence[int], size: int) -> dict[str, nn.Module]:
    """Stem, four stages whose units are numbered through, and the embedding.

    Args:
        units: Of each stage.
        size: Side of the pictures.
    """
    found: dict[str, nn.Module] = {
        "stem": nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
    }
    number, before = 0, WIDTHS[0]
    for i, (count, after) in enumerate(zip(units, WIDTHS, strict=True)):
        row = [Unit(before, after, 2), *(Unit(after, after, 1) for _ in range(count - 1))]
        found[f"stage{i + 1}"] = nn.Sequential(OrderedDict((str(number + k), unit) for k, unit in enumerate(row)))
        number, before = number + count, after
    places = (size // HALVED) ** 2
    flat = nn.Linear(before * places, EMBEDDING)
    found["output"] = nn.Sequential(
        nn.BatchNorm2d(before), nn.Dropout(0.5), nn.Flatten(), flat, nn.BatchNorm1d(EMBEDDING)
    )
    return found


@dataclass(frozen=True)
class IR(Published):
    """A network of improved residual units with a linear head on its 512 features.

    Stages ``stem``, ``stage1`` to ``stage4``, whose units are numbered through, and ``output``.

    Attributes:
        units: Of each stage.
        size: Side that pictures are resized to.
        weights: ``"none"`` (random) or a file: a released checkpoint, or the backbone's alone, such as one trained on
            MS1M at 112 pixels; then the linear layer before the features starts anew at another size.
        mean: Taken from each colour; 0 as published, whatever the backbone was trained with.
        std: Each colour is divided by it then; 1 as published.
    """

    paper: ClassVar[str] = "Deng et al., ArcFace, CVPR 2019; as attacked by Chen et al., KEDMI, ICCV 2021"

    units: ClassVar[Sequence[int]]
    size: ClassVar[int]

    def bare(self, classes: int) -> Classifier:
        """The network with random weights."""
        parts, head = stages(self.units, self.size), nn.Linear(EMBEDDING, classes)
        rows = [name for name in parts if name.startswith("stage")]
        return Classifier(parts, head, classes=classes, mean=self.mean, std=self.std, size=self.size, numbered=rows)

    def released(self, classifier: Classifier) -> AsReleased:
        """``feature`` with ``input_layer``, ``body`` and ``output_layer``; and ``fc_layer``, with MID ``st_layer``."""
        rows = [classifier.stages[name] for name in classifier.numbered]
        body = nn.Sequential(OrderedDict(unit for row in rows for unit in row.named_children()))
        feature = nn.Module()
        for name, part in (("input_layer", classifier.stages["stem"]), ("body", body)):
            feature.add_module(name, part)
        feature.add_module("output_layer", classifier.stages["output"])
        return AsReleased(classifier, {"feature": feature})

    def begin(self, backbone: nn.Module, checkpoint: Checkpoint) -> tuple[str, ...]:
        """As of every published network; the last linear layer starts anew if it is another size's."""
        mine = backbone.get_submodule(LAST).get_parameter("weight").shape
        named = [
            t for group in checkpoint.groups.values() for name, t in group.items() if f".{LAST}.weight" in f".{name}"
        ]
        anew = any(one.shape != mine for one in named)
        told = (f"left out of the checkpoint: {LAST}, which is for pictures of another size; it starts anew",)
        return (*files.load(backbone, checkpoint, LAST), *(told if anew else ()))


@dataclass(frozen=True)
class IR152(IR):
    """IR-152 for pictures of 64 pixels, a target of KEDMI and its successors: 62,599,848 parameters for 1,000 classes.

    Stages ``stem``, ``stage1`` to ``stage4``, whose 50 units are numbered through (``stage3.46``), and ``output``.

    Attributes:
        weights: ``"none"`` (random) or a file: a released checkpoint, or the backbone's alone, such as one trained on
            MS1M at 112 pixels; then the linear layer before the features starts anew.
        mean: Taken from each colour; 0 as published, whatever the backbone was trained with.
        std: Each colour is divided by it then; 1 as published.
    """

    units: ClassVar[Sequence[int]] = (3, 8, 36, 3)
    size: ClassVar[int] = 64


@dataclass(frozen=True)
class IR50At64(IR):
    """FaceNet64 (IR-50 for pictures of 64 pixels), a target of KEDMI: 35,437,224 parameters for 1,000 classes.

    Stages ``stem``, ``stage1`` to ``stage4``, whose 24 units are numbered through (``stage2.5``), and ``output``.

    Attributes:
        weights: As of ``ir152``.
        mean: Taken from each colour; 0 as published, whatever the backbone was trained with.
        std: Each colour is divided by it then; 1 as published.
    """

    units: ClassVar[Sequence[int]] = (3, 4, 14, 3)
    size: ClassVar[int] = 64


@dataclass(frozen=True)
class IR50At112(IR50At64):
    """FaceNet112 (IR-50 for pictures of 112 pixels), the literature's judge: 44,087,976 parameters for 1,000 classes.

    Attributes:
        weights: As of ``ir152``; all of a backbone of 112 pixels fits.
        mean: Taken from each colour; 0 as published, whatever the backbone was trained with.
        std: Each colour is divided by it then; 1 as published.
    """

    size: ClassVar[int] = 112
