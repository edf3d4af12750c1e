"""How near reconstructions come to the private pictures, as a fixed face recognition network sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from unveil.harness.types import Direction, Evidence, Images, Measurement, Metric, Need
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.memo import Memo
from unveil.harness.words.needs import NEEDED
from unveil.harness.words.spec import LocalPath, LocalSpec, Spec
from unveil.metrics.embedders import embed, needed, title
from unveil.metrics.judging import per_person, reconstructions
from unveil.metrics.neighbours import nearest_of_same

FARTHEST = 4.0  # squared distance of opposite unit vectors
KEPT = 4  # sets of private embeddings remembered at a time

Array = NDArray[np.float64]
_private: Memo[Array] = Memo(KEPT)


@dataclass(frozen=True)
class DeltaFace(Metric):
    """Squared distance of each reconstruction to the nearest private training picture of the person, by a face network.

    The literature's delta_face (and AlignMI's "KNN distance"): between embeddings of unit length, so from 0 to 4, where
    unrelated faces are about 2 apart. Unlike an evaluator, the network is the same for every data set, target and
    paper. Published numbers are FaceNet's trained on VGGFace2, whose weights no package carries (``unveil assets``
    says where to put them); without them nothing is scored. Any model plugin with trained weights can take its place.
    The column says which network it was: distances of different networks cannot be compared, and pictures that a
    network was not made for (unaligned, not faces) mean little to it.

    All reconstructions count, successes and failures, rounded to 8 bits. If people have unequal numbers of them, each
    person's are averaged first.

    Attributes:
        embedder: A model plugin whose features are the embedding. It must have been trained on other data.
        weights: Checkpoint that is given to the embedder as its setting ``weights``, if it has one.
    """

    paper: ClassVar[str] = "Struppek et al., Plug & Play Attacks, ICML 2022"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    embedder: LocalSpec = field(default=Spec("facenet", {"weights": "asset"}))
    weights: LocalPath | None = None

    def content(self) -> Mapping[str, str]:
        """Which embedder it is, says a node of its own."""
        return {"embedder": NEEDED, "weights": NEEDED}

    def needs(self) -> Mapping[str, Need]:
        """The embedder."""
        return {"embedder": needed(self.embedder, self.weights)}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """One column.

        Raises:
            JudgeError: If the embedder answers NaN.
        """
        column = f"nearest squared L2 ({title(self.embedder)})", "squared distance", Direction.PROTECTS, 0.0, FARTHEST
        fakes, train = reconstructions(evidence), evidence.data.train
        reason = _alone(fakes, train)
        if reason is not None:
            return [Measurement(*column, reason=reason)]
        reals, people = train[torch.isin(train.labels, fakes.labels)], fakes.labels.cpu().numpy()
        embedder = evidence.given.models["embedder"]
        x = embed(embedder, fakes, evidence.run, "reconstructions")
        private = self._remembered(embedder, reals, evidence)
        values = nearest_of_same(x, people, private, reals.labels.cpu().numpy()).clip(max=FARTHEST)  # but for rounding
        mean, who = per_person(values, people)
        return [Measurement(*column, values=mean, identities=who, samples=len(values))]

    def _remembered(self, embedder: Classifier, reals: Images, evidence: Evidence) -> Array:
        """Embeddings of private pictures, which all cells on the same data ask for."""
        key = embedder, evidence.data.checksum, reals.labels.cpu().numpy().tobytes()
        return _private.get(key, lambda: embed(embedder, reals, evidence.run, "private pictures"))


def _alone(fakes: Images, train: Images) -> str | None:
    alone = sorted(set(fakes.labels.tolist()) - set(train.labels.tolist()))
    return f"no private training picture of class {', '.join(map(str, alone[:5]))}" if alone else None
