"""Frechet inception distance between reconstructions and the private pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from unveil.harness import assets
from unveil.harness.models.timm import Timm
from unveil.harness.run import Run
from unveil.harness.types import Direction, Evidence, Images, Measurement, Metric
from unveil.metrics.frechet import frechet_distance, standard_error
from unveil.metrics.inception import load_inception
from unveil.metrics.judging import apply, as_pictures, reconstructions

Name = Literal["inception", "efficientnet_lite0"]
COLUMNS: Mapping[Name, str] = {"inception": "FID (Inception)", "efficientnet_lite0": "FID (EfficientNet-Lite0)"}
ASSETS: Mapping[Name, str] = {"inception": "inception", "efficientnet_lite0": "efficientnet-lite0"}
LITE0_SIZE = 224  # side length in pixels that its ImageNet weights were trained at
KEPT = 4  # sets of private features remembered at a time
BATCH = 32  # at 224 or 299 pixels
_private: dict[tuple[str, str, bytes], NDArray[np.float64]] = {}


@dataclass(frozen=True)
class FID(Metric):
    """Frechet distance between features of all reconstructions and of private training pictures.

    The standard FID needs the Inception weights of pytorch-fid, which no package carries. Without them the features
    are those of an ImageNet EfficientNet-Lite0, and the column says so: the two are different scales.

    Both sets are rounded to 8 bits and equally large: FID is biased upwards for few pictures, so only equal counts
    compare. The larger set is thinned person by person, blind to success. The private pictures are training pictures
    of the attacked people, the same ones for every attack and defense with as many reconstructions.

    Attributes:
        extractor: ``inception`` or ``efficientnet_lite0``, which is not scored where its weights are missing, or
            ``auto``: Inception where its weights are, else EfficientNet-Lite0.
        minimum: Fewest pictures in each set to give a number for.
    """

    paper: ClassVar[str] = "Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    extractor: Literal["auto", "inception", "efficientnet_lite0"] = "auto"
    minimum: Annotated[int, Field(ge=2)] = 50

    def content(self) -> Mapping[str, str]:
        """Which weights are used: placing the Inception file makes another measurement."""
        name = self._chosen()
        absent = name == "inception" and assets.path_if_present(ASSETS[name]) is None
        return {"extractor": f"{name} {'absent' if absent else assets.checksum(ASSETS[name])}"}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """One column, named after the network.

        Raises:
            AssetError: If the EfficientNet-Lite0 weights cannot be fetched, which another try may mend.
        """
        fakes, reals = _equal(reconstructions(evidence), evidence.data.train, evidence.data.checksum)
        if len(fakes) < self.minimum:
            return [self._not_scored(f"{len(fakes)} pictures in each set, fewer than the minimum of {self.minimum}")]
        if self._chosen() == "inception" and assets.path_if_present("inception") is None:
            return [self._not_scored(f"no Inception weights: {assets.by_hand('inception')}")]
        return [self._score(fakes, reals, evidence)]

    def _chosen(self) -> Name:
        if self.extractor != "auto":
            return self.extractor
        return "efficientnet_lite0" if assets.path_if_present("inception") is None else "inception"

    def _not_scored(self, reason: str) -> Measurement:
        return Measurement(COLUMNS[self._chosen()], "squared distance", Direction.PROTECTS, 0.0, np.inf, reason=reason)

    def _score(self, fakes: Images, reals: Images, evidence: Evidence) -> Measurement:
        network = _network(self._chosen(), evidence.run)
        x = _features(network, fakes, evidence.run)
        key = (self._chosen(), evidence.data.checksum, hashlib.sha256(reals.labels.numpy().tobytes()).digest())
        y = _remembered(key, lambda: _features(network, reals, evidence.run))
        people = fakes.labels.cpu().numpy()
        return Measurement(
            COLUMNS[self._chosen()],
            "squared distance",
            Direction.PROTECTS,
            0.0,
            np.inf,
            identities=people,
            value=frechet_distance(x, y),
            standard_error=standard_error(x, people, y, reals.labels.cpu().numpy()),
            samples=len(fakes),
        )


def _equal(fakes: Images, train: Images, checksum: str) -> tuple[Images, Images]:
    """Both sets cut to the same number, and the private one to the attacked people."""
    reals = train[torch.isin(train.labels, fakes.labels)]
    n = min(len(fakes), len(reals))
    run = Run(f"fid {checksum}")  # not the cell's own: all cells are compared with the same private pictures
    fakes, reals = fakes[_thinned(fakes.labels, n, run, "fakes")], reals[_thinned(reals.labels, n, run, "reals")]
    return fakes, Images(as_pictures(reals.pixels), reals.labels)


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
    colour = images.pixels.expand(-1, 3, -1, -1)  # grey pictures get three equal channels
    return apply(network, colour, run, "features for FID", BATCH).double().numpy()


def _remembered(key: tuple[str, str, bytes], compute: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Private features, which every cell on the same data asks for; the oldest is forgotten first."""
    if key not in _private:
        while len(_private) >= KEPT:
            _private.pop(next(iter(_private)))
        _private[key] = compute()
    return _private[key]
