"""What face embedders share: weights from an asset or a file, and a new head that may train alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from unveil.harness.assets import fetch as assets
from unveil.harness.assets import weights as files
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalPath


@dataclass(frozen=True)
class Embedder(Model):
    """A network that embeds faces, with a linear head on its features: for judging, never for attacking.

    Attributes:
        asset: Name of the asset that ``weights = "asset"`` stands for; empty if there is none.
        features: Length of an embedding.
        mean: Taken from each colour.
        std: Each colour is divided by it then.
        size: Height and width that pictures are resized to.
        weights: ``"none"`` (random), ``"asset"`` where there is one, or a file.
        frozen: Whether only the head trains, so that the judge stays the embedder it was.
    """

    asset: ClassVar[str] = ""
    features: ClassVar[int]
    mean: ClassVar[Sequence[float]]
    std: ClassVar[Sequence[float]]
    size: ClassVar[int]

    weights: Annotated[LocalPath, Field(min_length=1)] = "none"
    frozen: bool = True

    def body(self) -> dict[str, nn.Module]:
        """The stages, with random weights."""
        raise NotImplementedError

    def fill(self, body: nn.ModuleDict, path: Path) -> tuple[str, ...]:
        """Puts a file's tensors into the stages; gives what a reader must know of how they were read."""
        raise NotImplementedError

    def checksum(self, path: Path) -> str:
        """Hash of a file of weights."""
        return files.checksum(path)

    def content(self) -> Mapping[str, str]:
        """Checksum of the weights, or of the package that carries them.

        Raises:
            AssetError: If they are an asset that nobody has pinned, and it is not there.
            WeightsError: If they are a file that cannot be read.
        """
        if self.weights == "none":
            return {}
        return {"weights": assets.checksum(self.asset) if self._carried else self.checksum(Path(self.weights))}

    def preflight(self) -> Sequence[str]:
        """Loads the weights, if they are here."""
        path = assets.path_if_present(self.asset) if self._carried else Path(self.weights)
        if self.weights == "none" or path is None:
            return ()
        with seeded(Run("preflight")):
            return self.fill(nn.ModuleDict(self.body()), path)

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:  # noqa: ARG002
        """The embedder with a new head; see `harness.types.Model.build`."""
        with seeded(run, "weights"):
            body, head = self.body(), nn.Linear(self.features, classes)
        if self.weights != "none":
            self.fill(nn.ModuleDict(body), assets.path(self.asset) if self._carried else Path(self.weights))
        classifier = Classifier(body, head, classes=classes, mean=self.mean, std=self.std, size=self.size)
        if self.frozen:
            classifier.freeze(classifier.stage_names)
        return classifier

    @property
    def _carried(self) -> bool:
        return bool(self.asset) and self.weights == "asset"
