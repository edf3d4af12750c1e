"""The Inception network that FID is defined with, as ported by pytorch-fid.

Its weights come from TensorFlow and differ from torchvision's, and so do three details: 1008 classes, average pools
that do not count the padding, and a maximum pool in the last block where the paper has an average.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.harness.assets import torchvision_ops
from unveil.harness.assets.checkpoints import read
from unveil.harness.words.errors import WeightsError

SIZE = 299  # side length in pixels
STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2")
MIXED = tuple(f"Mixed_{b}" for b in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"))
REDUCTIONS = ("Mixed_6a", "Mixed_7a")  # their pools have no padding, so they are as they were


class FIDInception(nn.Module):
    """Pixels to the 2048 features of the last pool, frozen.

    Args:
        state: Weights under torchvision's names.

    Raises:
        WeightsError: If they do not fit.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        torchvision_ops.ensure()
        from torchvision.models import Inception3  # noqa: PLC0415 - only after ensure()

        with torch.device("meta"):  # no random initialisation: every weight is replaced
            network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
        try:
            network.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise WeightsError(
                f"these weights are not the FID Inception's: {str(error).splitlines()[-1].strip()}",
                "the state dict pt_inception-2015-12-05-6726825d.pth of pytorch-fid",
                "replace the file",
            ) from error
        stem = [getattr(network, name) for name in STEM]
        self.layers = nn.Sequential(*stem, *(_patched(name, getattr(network, name)) for name in MIXED))
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(N, 2048)`` of pixels ``(N, 3, H, W)`` in [0, 1], at any size."""
        x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False)
        out: Tensor = self.layers(2 * x - 1).mean((2, 3))
        return out


def load_inception(path: Path) -> FIDInception:
    """The network with the weights in a file.

    Raises:
        WeightsError: If the file cannot be read or does not fit.
    """
    return FIDInception(read(path).groups.get("", {}))


class _Pooled(nn.Module):
    """An Inception block whose pooling branch pools as TensorFlow does.

    Args:
        block: The block; it keeps its other branches.
        maximum: Whether that branch takes maxima.
    """

    def __init__(self, block: nn.Module, maximum: bool) -> None:
        super().__init__()
        self.convolution = block.get_submodule("branch_pool")
        block.branch_pool = _Nothing()
        self.block, self.maximum = block, maximum

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, 1, 1) if self.maximum else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([self.block(x), self.convolution(pooled)], 1)


class _Nothing(nn.Module):
    """No channels at all: takes a branch out of a block that joins its branches."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :0]


def _patched(name: str, block: nn.Module) -> nn.Module:
    return block if name in REDUCTIONS else _Pooled(block, maximum=name == MIXED[-1])
