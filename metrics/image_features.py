"""Reconstructions and private pictures as a pretrained network sees them: what FID, KID and PRDC compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from unveil.harness.assets import fetch as assets
from unveil.harness.models.timm import Timm
from unveil.harness.types import Direction, Evidence, Images, Measurement, Metric
from unveil.harness.words.memo import Memo
from unveil.harness.words.run import Run
from unveil.metrics.inception import load_inception
from unveil.metrics.judging import apply, coloured, reconstructions, rounded
from unveil.metrics.shared_features import digest

Extractor = Literal["auto", "inception", "efficientnet_lite0"]
Name = Literal["inception", "efficientnet_lite0"]
TITLES: Mapping[Name, str] = {"inception": "Inception", "efficientnet_lite0": "EfficientNet-Lite0"}
ASSETS: Mapping[Name, str] = {"inception": "inception", "efficientnet_lite0": "efficientnet-lite0"}
LITE0_SIZE = 224  # side length in pixels that its ImageNet weights were trained at
KEPT = 4  # sets of features remembered at a time: a cell's, for all metrics, and a few of private pictures
BATCH = 32  # at 224 or 299 pixels
Column = tuple[str, str, Direction, float, float]
_known: Memo[NDArray[np.float64]] = Memo(KEPT)


@dataclass(frozen=True)
class Clouds:
    """Features of equally many reconstructions and private training pictures of the attacked people.

    Attributes:
        x: Of reconstructions ``(N, d)``.
        x_people: Whom each should show ``(N,)``.
        y: Of private pictures ``(N, d)``.
        y_people: Whom each shows ``(N,)``.
    """

    x: NDArray[np.float64]
    x_people: NDArray[np.int64]
    y: NDArray[np.float64]
    y_people: NDArray[np.int64]


@dataclass(frozen=True)
class CloudMetric(Metric):
    """What compares features of all reconstructions with those of equally many private training pictures.

    The standard features are those of the Inception network of pytorch-fid, whose weights no package carries. Without
    them they are those of an ImageNet EfficientNet-Lite0, and the columns say so: the two are different scales.

    Both sets are rounded to 8 bits and equally large. The larger one is thinned person by person, blind to success.
    The private pictures are training pictures of the attacked people, the same ones for every attack and defense with
    as many reconstructions.

    Attributes:
        counted: Whether its numbers hang on how many pictures there are.
        extractor: ``inception`` or ``efficientnet_lite0``, which is not scored where its weights are missing, or
            ``auto``: Inception where its weights are, else EfficientNet-Lite0.
        minimum: Fewest pictures in each set to give a number for.
        pictures: Pictures in each set, so that attacks and controls with unequal numbers of them compare; whoever has
            fewer is not scored. None takes as many as both sets have.
    """

    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False
    counted: ClassVar[bool] = True

    extractor: Extractor = "auto"
    minimum: Annotated[int, Field(ge=2)] = 50
    pictures: Annotated[int, Field(ge=2)] | None = None

    def columns(self) -> Sequence[Column]:
        """What is measured, network included (see ``titled``)."""
        raise NotImplementedError

    def score(self, found: Clouds) -> Sequence[Measurement]:
        """Compares the two sets, in the order of the columns."""
        raise NotImplementedError

    @property
    def fewest(self) -> int:
        """Fewest pictures that it can be computed for, and should."""
        return self.minimum

    def titled(self, statistic: str) -> str:
        """Name of a column: numbers of different networks are on different scales."""
        return f"{statistic} ({TITLES[chosen(self.extractor)]})"

    def content(self) -> Mapping[str, str]:
        """Which weights are used: placing the Inception file makes another measurement."""
        name = chosen(self.extractor)
        absent = name == "inception" and assets.path_if_present(ASSETS[name]) is None
        return {"extractor": f"{name} {'absent' if absent else assets.checksum(ASSETS[name])}"}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """All columns, or why there are none.

        Raises:
            AssetError: If the EfficientNet-Lite0 weights cannot be fetched, which another try may mend.
        """
        found = clouds(self.extractor, self.fewest, self.pictures, evidence)
        if isinstance(found, str):
            return [Measurement(*column, reason=found, counted=self.counted) for column in self.columns()]
        return self.score(found)


def chosen(extractor: Extractor) -> Name:
    """``auto`` is Inception where its weights are, else EfficientNet-Lite0."""
    if extractor != "auto":
        return extractor
    return "efficientnet_lite0" if assets.path_if_present("inception") is None else "inception"


def clouds(extractor: Extractor, minimum: int, pictures: int | None, evidence: Evidence) -> Clouds | str:
    """Features of both sets as ``CloudMetric`` describes them, or why there are none.

    Args:
        extractor: Which network.
        minimum: Fewest pictures in each set.
        pictures: How many, or None for as many as there are.
        evidence: Reconstructions and private pictures.

    Raises:
        AssetError: If the EfficientNet-Lite0 weights cannot be fetched, which another try may mend.
    """
    fakes, reals = _equal(reconstructions(evidence), evidence.data.train, evidence.data.checksum, pictures)
    if pictures is not None and len(fakes) < pictures:
        return f"{len(fakes)} pictures in each set, fewer than the {pictures} that were asked for"
    if len(fakes) < minimum:
        return f"{len(fakes)} pictures in each set, fewer than the minimum of {minimum}"
    name = chosen(extractor)
    if name == "inception" and assets.path_if_present("inception") is None:
        return f"no Inception weights: {assets.by_hand('inception')}"
    x, y = (_remembered(name, images, evidence.run) for images in (fakes, reals))
    return Clouds(x, fakes.labels.cpu().numpy(), y, reals.labels.cpu().numpy())


def _equal(fakes: Images, train: Images, checksum: str, most: int | None) -> tuple[Images, Images]:
    """Both sets cut to the same number, and the private one to the attacked people."""
    reals = train[torch.isin(train.labels, fakes.labels)]
    n = min(len(fakes), len(reals), most or len(fakes))
    run = Run(f"fid {checksum}")  # not the cell's own: all cells are compared with the same private pictures
    fakes, reals = fakes[_thinned(fakes.labels, n, run, "fakes")], reals[_thinned(reals.labels, n, run, "reals")]
    return fakes, rounded(reals)


def _thinned(labels: Tensor, n: int, run: Run, what: str) -> Tensor:
    """Indices of n pictures, as evenly over people as can be: everybody's first, everybody's second, and so on."""
    turn = torch.empty(len(labels), dtype=torch.int64)
    for label in np.unique(labels.numpy()).tolist():
        mine = (labels == label).nonzero().flatten()
        turn[mine] = torch.randperm(len(mine), generator=run.generator(what, label))
    order = np.lexsort((labels.numpy(), turn.numpy()))
    return torch.from_numpy(np.sort(order[:n]))


def _network(name: Name, run: Run) -> Callable[[Tensor], Tensor]:
    if name == "inception":
        return load_inception(assets.path("inception")).to(run.device)
    lite0 = Timm("tf_efficientnet_lite0", "asset", LITE0_SIZE).build(1000, (3, LITE0_SIZE, LITE0_SIZE), run)
    return lite0.to(run.device).eval().features


def _features(network: Callable[[Tensor], Tensor], images: Images, run: Run) -> NDArray[np.float64]:
    return apply(lambda x: network(coloured(x)), images, run, "features of pictures", BATCH).double().numpy()


def _remembered(name: Name, images: Images, run: Run) -> NDArray[np.float64]:
    """Features that other metrics of the cell, and of private pictures all cells, ask for."""
    return _known.get((name, digest(images)), lambda: _features(_network(name, run), images, run))
