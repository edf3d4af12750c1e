"""A MobileFaceNet of 512 features from an npm package: for judging aligned faces, never for attacking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from unveil.harness.assets import fetch as assets
from unveil.harness.assets import onnx_file
from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.models import mobilefacenet
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalPath

ASSET = "fr_feature"
SIDE = 112  # of an aligned face
EMBEDDING = 512
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # (255 x - 127) / 128


def fill(body: Mapping[str, nn.Module], path: Path) -> tuple[str, ...]:
    """Puts the file's tensors into the stages, in order."""
    tensors = [t.flatten() if o.kind == "PRelu" else t for o in onnx_file.read(path) for t in o.tensors if t.numel()]
    named = {str(number): tensor for number, tensor in enumerate(tensors)}
    return files.load_in_order(nn.ModuleDict(dict(body)), Checkpoint(path, {"": named}), head="head")


@dataclass(frozen=True)
class FRFeature(Model):
    """A face embedder and a linear head on its 512 features: a judge for aligned colour faces of 112 pixels.

    Pictures are resized to 112x112, must be aligned to ArcFace's five points, and are normalised as
    (255 x - 127) / 128. What it was trained on is not stated. Stages are named as in ``mobilefacenet``.

    Attributes:
        weights: ``"none"`` (random), ``"asset"`` (fetched with npm, see ``unveil assets``) or the package's ONNX file.
        frozen: Whether only the head trains, so that the judge stays the embedder it was.
    """

    paper: ClassVar[str] = "Chen et al., MobileFaceNets, CCBR 2018"

    weights: Annotated[LocalPath, Field(min_length=1)] = "none"
    frozen: bool = True

    def content(self) -> Mapping[str, str]:
        """Checksum of the package that carries the weights, or of the file."""
        if self.weights == "none":
            return {}
        return {"weights": assets.checksum(ASSET) if self.weights == "asset" else files.checksum(Path(self.weights))}

    def preflight(self) -> Sequence[str]:
        """Loads the weights, if they are here."""
        path = assets.path_if_present(ASSET) if self.weights == "asset" else Path(self.weights)
        if self.weights == "none" or path is None:
            return ()
        with seeded(Run("preflight")):
            return fill(mobilefacenet.stages(EMBEDDING, folded=True), path)

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:  # noqa: ARG002
        """The embedder with a new head; see `harness.types.Model.build`."""
        with seeded(run, "weights"):
            body, head = mobilefacenet.stages(EMBEDDING, folded=True), nn.Linear(EMBEDDING, classes)
        if self.weights != "none":
            fill(body, assets.path(ASSET) if self.weights == "asset" else Path(self.weights))
        classifier = Classifier(body, head, classes=classes, mean=MEAN, std=STD, size=SIDE)
        if self.frozen:
            classifier.freeze(classifier.stage_names)
        return classifier
