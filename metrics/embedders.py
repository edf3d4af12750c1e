"""A network that embeds faces, as a judge: a model plugin with trained weights, never the target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.types import GivenModel
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import JudgeError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.metrics.gallery import unit
from unveil.metrics.judging import Pictures, as_pictures, features, rounded


def needed(embedder: Spec, weights: str | None) -> GivenModel:
    """The embedder, its setting ``weights`` replaced if there are others. Without trained weights it is of no use."""
    settings = embedder.settings if weights is None else {**embedder.settings, "weights": weights}
    return GivenModel(Spec(embedder.use, settings), trained=True)


def title(embedder: Spec) -> str:
    """What columns call it: numbers of different networks are on different scales."""
    return embedder.use.rpartition(":")[2]


def embed(embedder: Classifier, pictures: Pictures, run: Run, of: str) -> NDArray[np.float64]:
    """Unit vectors ``(N, F)`` of pictures, rounded to 8 bits.

    Raises:
        JudgeError: If one is NaN.
    """
    eight_bit = as_pictures(pictures) if isinstance(pictures, Tensor) else rounded(pictures)
    found = features(embedder, eight_bit, run, f"embeddings of {of}")
    if not np.isfinite(found).all():
        raise JudgeError("the embedder answered NaN", "finite features", "check its weights")
    return unit(found)
