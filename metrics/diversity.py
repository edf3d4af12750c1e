"""How different the reconstructions of one person are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from unveil.harness.stages.people import join
from unveil.harness.types import Direction, Evidence, Images, Measurement, Metric
from unveil.metrics.judging import as_pictures, evaluator, features, reconstructions

COLUMN = "of that of private pictures", "ratio", Direction.DESCRIBES, 0.0, np.inf
SAME = 1e-6  # mean distance, relative to the features, of pictures that are all the same but for rounding


@dataclass(frozen=True)
class Diversity(Metric):
    """Mean distance between reconstructions of the same person, as a ratio to that between the private pictures.

    Over all pairs, between the evaluator's penultimate features; one ratio per person. 0 is always the same picture, 1
    as diverse as all private pictures of the person (training, validation and test). Neither good nor bad by itself,
    since noise is diverse, too: read it beside the attack accuracy. All reconstructions count, rounded to 8 bits. Not
    scored if a person has one reconstruction only.
    """

    paper: ClassVar[str] = ""
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """One column."""
        fakes, data = reconstructions(evidence), evidence.data
        private = join(data.train, data.validation, data.test)
        private = private[torch.isin(private.labels, fakes.labels)]
        reason = _too_few(fakes, fakes, "reconstruction") or _too_few(private, fakes, "private picture")
        if reason is not None:
            return [Measurement(*COLUMN, reason=reason)]
        made = _spread(fakes, evidence)
        real = _spread(Images(as_pictures(private.pixels), private.labels), evidence)
        people = np.unique(fakes.labels.cpu().numpy())
        if (real == 0).any():
            same = ", ".join(map(str, people[real == 0][:5]))
            return [Measurement(*COLUMN, reason=f"the evaluator tells no private pictures of class {same} apart")]
        return [Measurement(*COLUMN, values=made / real, identities=people, samples=len(fakes))]


def _spread(images: Images, evidence: Evidence) -> NDArray[np.float64]:
    """Mean distance over all pairs of each person's pictures, in the order of the labels."""
    x = features(evaluator(evidence), images.pixels, evidence.run, "features of pictures")
    labels, size = images.labels.cpu().numpy(), np.linalg.norm(x, axis=1).mean()
    means = np.array([pdist(x[labels == label]).mean() for label in np.unique(labels)])
    return np.where(means > SAME * size, means, 0.0)


def _too_few(images: Images, fakes: Images, what: str) -> str | None:
    have = images.labels.cpu().numpy()
    alone = [label for label in np.unique(fakes.labels.cpu().numpy()).tolist() if (have == label).sum() < 2]
    if not alone:
        return None
    return f"fewer than two {what}s of class {', '.join(map(str, alone[:5]))}"
