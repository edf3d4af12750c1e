"""How good the defended classifier still is at its own job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from unveil.harness.figures.calibration import BINS, calibration_error
from unveil.harness.types import Direction, Evidence, Measurement, Metric
from unveil.harness.words.names import CALIBRATION, MACRO, TOP_1, TOP_5
from unveil.metrics.judging import BATCH, hits, logits, share

SCALE = "share", Direction.USEFUL, 0.0, 1.0


@dataclass(frozen=True)
class Utility(Metric):
    """Accuracy and calibration of the target on private test pictures.

    Measured on the very weights that are attacked. Calibration is one minus the expected calibration error, so
    that higher is better in every column.

    Attributes:
        bins: Equally wide bins of confidence for the calibration error.
    """

    paper: ClassVar[str] = "Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (calibration error)"
    about: ClassVar[str] = "target"
    needs_evaluator: ClassVar[bool] = False

    bins: Annotated[int, Field(ge=2)] = BINS

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Columns: top-1, top-5, macro accuracy and 1 - calibration error."""
        test = evidence.data.test
        scores, labels = logits(evidence.target, test, evidence.run, "utility"), test.labels.cpu()
        people, first = labels.numpy(), hits(scores, labels, 1)
        sure = [
            part.double().softmax(1).max(1) for part in scores.split(BATCH)
        ]  # of all at once it is many times theirs
        confidence, answer = (torch.cat([one[i] for one in sure]) for i in range(2))
        right = (answer == labels).double().numpy()
        return [
            share(TOP_1, Direction.USEFUL, first, people, len(test)),
            share(TOP_5, Direction.USEFUL, hits(scores, labels, 5), people, len(test))
            if scores.shape[1] > 5
            else Measurement(TOP_5, *SCALE, reason="the target knows at most 5 classes"),
            _macro(first, people),
            self._calibration(confidence.numpy(), right, people),
        ]

    def _calibration(
        self, confidence: NDArray[np.float64], right: NDArray[np.float64], people: NDArray[np.int64]
    ) -> Measurement:
        value, error = calibration_error(confidence, right, people, self.bins)
        return Measurement(
            CALIBRATION,
            *SCALE,
            value=1 - value,
            standard_error=error,
            identities=people,
            samples=len(people),
        )


def _macro(values: NDArray[np.float64], people: NDArray[np.int64]) -> Measurement:
    who, position, counts = np.unique(people, return_inverse=True, return_counts=True)
    return share(MACRO, Direction.USEFUL, np.bincount(position, weights=values) / counts, who, len(values))
