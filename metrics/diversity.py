"""How different the reconstructions of one person are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from unveil.harness.types import Classifier, Direction, Evidence, Measurement, Metric
from unveil.metrics import shared_features
from unveil.metrics.judging import evaluator, reconstructions
from unveil.metrics.shared_features import Split

COLUMN = "of that of private pictures", "ratio", Direction.DESCRIBES, 0.0, np.inf
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SAME = 1e-6  # mean distance, relative to the features, of pictures that are all the same but for rounding

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


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
        fakes, judge = reconstructions(evidence), evaluator(evidence)
        own = fakes.labels.cpu().numpy()
        people = np.unique(own)
        private, shown = _private(judge, evidence, people)
        reason = _too_few(own, people, "reconstruction") or _too_few(shown, people, "private picture")
        if reason is not None:
            return [Measurement(*COLUMN, reason=reason)]
        made = _spread(shared_features.of_pictures(judge, fakes, evidence.run), own)
        real = _spread(private, shown)
        if (real == 0).any():
            same = ", ".join(map(str, people[real == 0][:5]))
            return [Measurement(*COLUMN, reason=f"the evaluator tells no private pictures of class {same} apart")]
        return [Measurement(*COLUMN, values=made / real, identities=people, samples=len(fakes))]


def _private(judge: Classifier, evidence: Evidence, people: Labels) -> tuple[Array, Labels]:
    """Features of all private pictures of these people, and who is on them."""
    parts = [shared_features.of_private(judge, evidence.data, split, people, evidence.run) for split in SPLITS]
    parts = [(x, labels) for x, labels in parts if len(labels)]
    if not parts:
        return np.empty((0, 0)), np.empty(0, np.int64)
    return np.concatenate([x for x, _ in parts]), np.concatenate([labels for _, labels in parts])


def _spread(x: Array, labels: Labels) -> Array:
    """Mean distance over all pairs of each person's pictures, in the order of the labels."""
    size = np.linalg.norm(x, axis=1).mean()
    means = np.array([pdist(x[labels == label]).mean() for label in np.unique(labels)])
    return np.where(means > SAME * size, means, 0.0)


def _too_few(have: Labels, people: Labels, what: str) -> str | None:
    alone = [label for label in people.tolist() if (have == label).sum() < 2]
    if not alone:
        return None
    return f"fewer than two {what}s of class {', '.join(map(str, alone[:5]))}"
