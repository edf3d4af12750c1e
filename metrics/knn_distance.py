"""How near reconstructions come to the private pictures, in an evaluator's feature space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from unveil.harness.types import Direction, Evidence, Measurement, Metric
from unveil.metrics import shared_features
from unveil.metrics.judging import evaluator, per_person, reconstructions
from unveil.metrics.neighbours import nearest_of_same


@dataclass(frozen=True)
class KNNDistance(Metric):
    """Distance from each reconstruction to the nearest private training picture of the same person.

    Measured between the evaluator's penultimate features, which are always computed with that evaluator. The
    literature's "KNN distance" is squared and has k = 1; it and its root are both given. Distances of different
    evaluators cannot be compared. With an Inception-v3 evaluator at 299 pixels the squared one is the delta_eval of
    Struppek et al. (Plug & Play Attacks, ICML 2022).

    All reconstructions count, successes and failures, rounded to 8 bits. If people have unequal numbers of them, each
    person's are averaged first.
    """

    paper: ClassVar[str] = "Zhang et al., The Secret Revealer, CVPR 2020"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Columns: nearest squared L2, and nearest L2."""
        fakes, judge, run = reconstructions(evidence), evaluator(evidence), evidence.run
        people = fakes.labels.cpu().numpy()
        reals, shown = shared_features.of_private(judge, evidence.data, "train", people, run)
        squared = nearest_of_same(shared_features.of_pictures(judge, fakes, run), people, reals, shown)
        return [
            _distance("nearest squared L2", "squared distance", squared, people),
            _distance("nearest L2", "distance", np.sqrt(squared), people),
        ]


def _distance(column: str, unit: str, values: NDArray[np.float64], people: NDArray[np.int64]) -> Measurement:
    alone = np.unique(people[~np.isfinite(values)])
    if len(alone):
        reason = f"no private training picture of class {', '.join(map(str, alone[:5]))}"
        return Measurement(column, unit, Direction.PROTECTS, 0.0, np.inf, reason=reason)
    mean, who = per_person(values, people)
    return Measurement(column, unit, Direction.PROTECTS, 0.0, np.inf, values=mean, identities=who, samples=len(values))
