"""Frechet inception distance between reconstructions and the private pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unveil.harness.types import Direction, Measurement
from unveil.metrics.frechet import frechet_distance, standard_error
from unveil.metrics.image_features import CloudMetric, Clouds, Column


@dataclass(frozen=True)
class FID(CloudMetric):
    """Frechet distance between features of all reconstructions and of private training pictures.

    It is biased upwards for few pictures, so only equal numbers compare, and the page refuses to rank others. ``kid``
    is not. Network and pictures are those of all metrics of this kind (``CloudMetric``): 8 bits, equally many, the
    private ones of the attacked people, and the column named after the network.

    Attributes:
        extractor: ``inception`` or ``efficientnet_lite0``, which is not scored where its weights are missing, or
            ``auto``: Inception where its weights are, else EfficientNet-Lite0.
        minimum: Fewest pictures in each set to give a number for.
        pictures: Pictures in each set; None takes as many as both sets have.
    """

    paper: ClassVar[str] = "Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017"

    def columns(self) -> Sequence[Column]:
        """One, named after the network."""
        return [(self.titled("FID"), "squared distance", Direction.PROTECTS, 0.0, np.inf)]

    def score(self, found: Clouds) -> Sequence[Measurement]:
        """The distance, and its standard error over people."""
        value = frechet_distance(found.x, found.y)
        error = standard_error(found.x, found.x_people, found.y, found.y_people)
        people, samples = found.x_people, len(found.x)
        (column,) = self.columns()
        return [
            Measurement(
                *column, identities=people, value=value, standard_error=error, samples=samples, counted=self.counted
            )
        ]
