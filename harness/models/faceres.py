"""A MobileNet trained on VGGFace2, from an npm package: for judging faces, never for attacking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from unveil.harness.assets import tfjs
from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.models.embedder import Embedder
from unveil.harness.words.errors import WeightsError

ASSET = "faceres"
FILE = "faceres.json"  # in the asset's folder
SIDE = 224
EMBEDDING = 1024
# Channels out of each block, and those blocks that halve the sides
WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
HALVING = (2, 4, 6, 12)
MEAN, STD = (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3  # 255 x minus the mean of each colour


class Conv(nn.Module):
    """Convolution with TensorFlow's padding, and a ReLU that ends at 6; batch norm is folded into it.

    Args:
        before: Channels in.
        after: Channels out.
        kernel: Its side.
        stride: Its stride.
        groups: Of channels.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H / stride, W / stride)``."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        total = kernel - stride if kernel > 1 else 0  # of even sides; what is uneven comes behind and below
        return F.relu6(self.conv(F.pad(x, (total // 2, total - total // 2) * 2)))


class Pool(nn.Module):
    """Mean over all places."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C)``."""
        return x.mean((2, 3))


def stages() -> dict[str, nn.Module]:
    """MobileNet of width 1 (Howard et al., table 1) up to the pooled features."""
    made: dict[str, nn.Module] = {"conv1": Conv(3, 32, 3, 2)}
    before = 32
    for number, after in enumerate(WIDTHS, 1):
        depthwise = Conv(before, before, 3, 2 if number in HALVING else 1, groups=before)
        made[f"block{number}"] = nn.Sequential(depthwise, Conv(before, after, 1))
        before = after
    return {**made, "pool": Pool()}


def fill(body: nn.ModuleDict, path: Path) -> tuple[str, ...]:
    """Puts the file's tensors into the stages by name."""
    file = path / FILE if path.is_dir() else path
    found = tfjs.read(file)
    state: dict[str, Tensor] = {}
    names = {"conv1.conv": "conv1"}
    for number in range(1, len(WIDTHS) + 1):
        names |= {f"block{number}.0.conv": f"conv_dw_{number}", f"block{number}.1.conv": f"conv_pw_{number}"}
    try:
        for own, name in names.items():
            state[f"{own}.weight"] = _kernel(found, name)
            state[f"{own}.bias"] = found[f"{name}_bn/batchnorm_1/sub"]
    except KeyError as error:
        raise WeightsError(f"{file} has no tensor {error}", "the package's faceres.json", "name that file") from error
    state["conv1.conv.weight"] = state["conv1.conv.weight"].flip(1)  # it was made for blue, green, red
    return files.load(body, Checkpoint(file, {"": state}), head="head")


def _kernel(found: Mapping[str, Tensor], name: str) -> Tensor:
    """From (height, width, in, out); of a depthwise one (height, width, channels, 1), times its scale."""
    if (scale := found.get(f"{name}_bn/batchnorm_1/mul")) is not None:
        return found[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1) * scale[:, None, None, None]
    return found[f"{name}/convolution/merged_input"].permute(3, 2, 0, 1)


@dataclass(frozen=True)
class FaceRes(Embedder):
    """A MobileNet that embeds faces, trained on VGGFace2, and a linear head on its 1024 features.

    Pictures are resized to 224x224 and of each colour its mean is taken off. It judges loosely framed faces, too:
    alignment matters less than for networks that are made for 112 pixels.

    Attributes:
        weights: ``"none"`` (random), ``"asset"`` (fetched with npm, see ``unveil assets``) or the package's
            ``faceres.json`` with ``faceres.bin`` beside it.
        frozen: Whether only the head trains, so that the judge stays the embedder it was.
    """

    paper: ClassVar[str] = "Howard et al., MobileNets, 2017; Savchenko, Efficient Facial Representations, SISY 2019"
    asset: ClassVar[str] = ASSET
    features: ClassVar[int] = EMBEDDING
    mean: ClassVar[Sequence[float]] = MEAN
    std: ClassVar[Sequence[float]] = STD
    size: ClassVar[int] = SIDE

    def body(self) -> dict[str, nn.Module]:
        """The stages, with random weights."""
        return stages()

    def fill(self, body: nn.ModuleDict, path: Path) -> tuple[str, ...]:
        """Puts the package's tensors into the stages."""
        return fill(body, path)

    def checksum(self, path: Path) -> str:
        """Hash of the list of weights and of the files that hold them."""
        return tfjs.checksum(path)
