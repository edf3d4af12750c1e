"""What the networks of the 64-pixel literature share: its released checkpoints, by the names that these have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import Checkpoint, read
from unveil.harness.models.timm import Amount, Level
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalPath

BACKBONE, HEAD, CODE = "feature", "fc_layer", "st_layer"  # as released; the last is MID's


class AsReleased(nn.Module):
    """A classifier's own modules under the names that its checkpoints were released with: to fill and to compare.

    Args:
        classifier: Whose; it may have been prepared by defenses. MID's code and head have their released names.
        parts: Modules by released name, the head's left out.
    """

    def __init__(self, classifier: Classifier, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        bottleneck = getattr(classifier.head, "bottleneck", None)
        if bottleneck is None:
            self.add_module(HEAD, classifier.head)
        else:
            self.st_layer, self.fc_layer = bottleneck.code, classifier.head.linear


@dataclass(frozen=True)
class Published(Model, ABC):
    """A network of the 64-pixel literature.

    Attributes:
        weights: ``"none"`` (random) or a checkpoint with the released names: a whole classifier (its head starts anew
            for another number of classes), or what it was initialised from.
        mean: Taken from each colour; 0 as published, which normalises nothing.
        std: Each colour is divided by it then; 1 as published.
    """

    weights: Annotated[LocalPath, Field(min_length=1)] = "none"
    mean: tuple[Level, Level, Level] = (0.0, 0.0, 0.0)
    std: tuple[Amount, Amount, Amount] = (1.0, 1.0, 1.0)

    @abstractmethod
    def bare(self, classes: int) -> Classifier:
        """The network with random weights, drawn from the global generator."""

    @abstractmethod
    def released(self, classifier: Classifier) -> AsReleased:
        """The modules of such a classifier, defended or not, under their released names."""

    def fill(self, classifier: Classifier, path: Path) -> tuple[str, ...]:
        """Puts a checkpoint into a classifier, whatever wrappers have made of its names.

        Returns:
            What a reader must know of how it was read.

        Raises:
            WeightsError: If a tensor is missing, unexpected or of another shape.
        """
        checkpoint, whole = read(path), self.released(classifier)
        if _has(checkpoint, f"{HEAD}.weight"):
            return files.load(whole, checkpoint, HEAD)
        return self.begin(whole.get_submodule(BACKBONE), checkpoint)

    def begin(self, backbone: nn.Module, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Puts a checkpoint without a head of ours into the backbone: what the literature initialises from."""
        return files.load(backbone, checkpoint, head="none of its own")

    def colours(self, path: Path) -> int:  # noqa: ARG002 (others ask the file)
        """Channels of the pictures that a checkpoint was trained on."""
        return 3

    def restore(self, path: Path, shape: tuple[int, int, int], run: Run) -> tuple[Classifier, tuple[str, ...]] | None:
        """A released classifier for as many classes as its file knows, and what a reader must know of it.

        None if the file has the names of this package's classifiers instead.

        Raises:
            WeightsError: If the file does not fit, or holds no classifier.
        """
        return self.restore_defended(path, shape, run, lambda classifier: classifier)

    def restore_defended(
        self, path: Path, shape: tuple[int, int, int], run: Run, defended: Callable[[Classifier], Classifier]
    ) -> tuple[Classifier, tuple[str, ...]] | None:
        """As ``restore``, of a network that defenses have changed before it learnt, such as MID's.

        Raises:
            WeightsError: If the file does not fit, holds no classifier, or is not of a network under these defenses.
        """
        checkpoint = read(path)
        heads = [t for name, t in _named(checkpoint) if f".{name}".endswith(f".{HEAD}.weight") and t.ndim == 2]
        if not heads:
            if any(".stages." in f".{name}" for name, _ in _named(checkpoint)):
                return None
            raise WeightsError(
                f"{path} has no classifier layer {HEAD}",
                "a released checkpoint of the whole classifier",
                "take its backbone as weights, and train a head",
            )
        classifier = defended(replace(self, weights="none").build(len(heads[0]), shape, run))
        whole = self.released(classifier)
        _require_same_code(path, has=_has(checkpoint, f"{CODE}.weight"), wants=hasattr(whole, CODE))
        return classifier, files.load(whole, checkpoint, head="")

    def content(self) -> Mapping[str, str]:
        """Checksum of the weights.

        Raises:
            WeightsError: If they cannot be read.
        """
        return {} if self.weights == "none" else {"weights": files.checksum(Path(self.weights))}

    def preflight(self) -> tuple[str, ...]:
        """Loads the weights, if they are a file."""
        if (path := self._file()) is None:
            return ()
        with seeded(Run("preflight")):
            return self.fill(self.bare(2), path)

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """The network with its weights; see `harness.types.Model.build`. Grey counts as three equal colours.

        Raises:
            WeightsError: If pictures have neither one colour nor three, or the weights do not fit.
        """
        if shape[0] not in (1, 3):
            raise WeightsError(f"pictures of {shape[0]} colours", "1 or 3", "choose another model")
        with seeded(run, "weights"):
            classifier = self.bare(classes)
        if (path := self._file()) is not None:
            self.fill(classifier, path)
        return classifier

    def _file(self) -> Path | None:
        return None if self.weights == "none" else Path(self.weights)


def _require_same_code(path: Path, *, has: bool, wants: bool) -> None:
    """Refuses a bottlenecked network's weights for one without a bottleneck, and the other way round."""
    if has and not wants:
        raise WeightsError(
            f"{path} has {CODE}, a bottleneck before its classes, which the network has not",
            "weights of a network without a bottleneck",
            'name the file in an entry of defenses with use = "mid"; of VGG16, with norm = false of the model',
        )
    if wants and not has:
        raise WeightsError(
            f"{path} has no {CODE}: it is of a network without a bottleneck",
            "weights that were trained under mid",
            'name the file in an entry without mid, such as use = "none"',
        )


def _has(checkpoint: Checkpoint, ending: str) -> bool:
    return any(f".{name}".endswith(f".{ending}") for name, _ in _named(checkpoint))


def _named(checkpoint: Checkpoint) -> list[tuple[str, Tensor]]:
    """All tensors of a file, wherever they lie in it."""
    return [named for group in checkpoint.groups.values() for named in group.items()]
