"""Frechet inception distance between reconstructions and the private pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from unveil.harness.types import Direction, Evidence, Measurement, Metric
from unveil.metrics.frechet import frechet_distance, standard_error
from unveil.metrics.image_features import Extractor, clouds, content, titled


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

    extractor: Extractor = "auto"
    minimum: Annotated[int, Field(ge=2)] = 50

    def content(self) -> Mapping[str, str]:
        """Which weights are used: placing the Inception file makes another measurement."""
        return content(self.extractor)

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """One column, named after the network.

        Raises:
            AssetError: If the EfficientNet-Lite0 weights cannot be fetched, which another try may mend.
        """
        column = titled("FID", self.extractor), "squared distance", Direction.PROTECTS, 0.0, np.inf
        found = clouds(self.extractor, self.minimum, evidence)
        if isinstance(found, str):
            return [Measurement(*column, reason=found)]
        value = frechet_distance(found.x, found.y)
        error = standard_error(found.x, found.x_people, found.y, found.y_people)
        people, samples = found.x_people, len(found.x)
        return [Measurement(*column, identities=people, value=value, standard_error=error, samples=samples)]
