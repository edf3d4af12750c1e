"""Reconstructions and private pictures as a pretrained network sees them: what FID, KID and PRDC compare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness import assets
from unveil.harness.models.timm import Timm
from unveil.harness.run import Run
from unveil.harness.types import Evidence, Images
from unveil.metrics.inception import load_inception
from unveil.metrics.judging import apply, as_pictures, reconstructions

Extractor = Literal["auto", "inception", "efficientnet_lite0"]
Name = Literal["inception", "efficientnet_lite0"]
TITLES: Mapping[Name, str] = {"inception": "Inception", "efficientnet_lite0": "EfficientNet-Lite0"}
ASSETS: Mapping[Name, str] = {"inception": "inception", "efficientnet_lite0": "efficientnet-lite0"}
LITE0_SIZE = 224  # side length in pixels that its ImageNet weights were trained at
KEPT = 4  # sets of private features remembered at a time
BATCH = 32  # at 224 or 299 pixels
_private: dict[tuple[str, str, bytes], NDArray[np.float64]] = {}


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


def content(extractor: Extractor) -> Mapping[str, str]:
    """Which weights are used, for the identity of a metric: placing the Inception file makes another measurement."""
    name = chosen(extractor)
    absent = name == "inception" and assets.path_if_present(ASSETS[name]) is None
    return {"extractor": f"{name} {'absent' if absent else assets.checksum(ASSETS[name])}"}


def titled(statistic: str, extractor: Extractor) -> str:
    """Name of a column: numbers of different networks are on different scales."""
    return f"{statistic} ({TITLES[chosen(extractor)]})"


def chosen(extractor: Extractor) -> Name:
    """``auto`` is Inception where its weights are, else EfficientNet-Lite0."""
    if extractor != "auto":
        return extractor
    return "efficientnet_lite0" if assets.path_if_present("inception") is None else "inception"


def clouds(extractor: Extractor, minimum: int, evidence: Evidence) -> Clouds | str:
    """Features of both sets, rounded to 8 bits and equally large, or why there are none.

    The larger set is thinned person by person, blind to success. The private pictures are the same ones for every
    attack and defense with as many reconstructions.

    Args:
        extractor: Which network.
        minimum: Fewest pictures in each set.
        evidence: Reconstructions and private pictures.

    Raises:
        AssetError: If the EfficientNet-Lite0 weights cannot be fetched, which another try may mend.
    """
    fakes, reals = _equal(reconstructions(evidence), evidence.data.train, evidence.data.checksum)
    if len(fakes) < minimum:
        return f"{len(fakes)} pictures in each set, fewer than the minimum of {minimum}"
    name = chosen(extractor)
    if name == "inception" and assets.path_if_present("inception") is None:
        return f"no Inception weights: {assets.by_hand('inception')}"
    network = _network(name, evidence.run)
    x = _features(network, fakes, evidence.run)
    key = (name, evidence.data.checksum, hashlib.sha256(reals.labels.numpy().tobytes()).digest())
    y = _remembered(key, lambda: _features(network, reals, evidence.run))
    return Clouds(x, fakes.labels.cpu().numpy(), y, reals.labels.cpu().numpy())


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
    return apply(network, colour, run, "features of pictures", BATCH).double().numpy()


def _remembered(key: tuple[str, str, bytes], compute: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Private features, which every cell on the same data asks for; the oldest is forgotten first."""
    if key not in _private:
        while len(_private) >= KEPT:
            _private.pop(next(iter(_private)))
        _private[key] = compute()
    return _private[key]
