"""Everybody who can be asked whether a picture shows a person: an embedding network, or somebody from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.types import Comparer, Images, Reply, Speaker
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import JudgeError
from unveil.harness.words.run import Run
from unveil.metrics.embedders import embed
from unveil.metrics.gallery import Gallery, Match, enrol
from unveil.metrics.judging import Pictures, as_pictures


@dataclass(frozen=True, eq=False)
class People(Sequence[Tensor]):
    """Private training pictures person by person, of 256 levels; nothing is copied before it is looked at.

    Attributes:
        images: All of them.
        numbers: Whose there are, ascending ``(P,)``.
    """

    images: Images
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        return as_pictures(self.images[self.images.labels == int(self.numbers[index])].pixels)

    def in_turn(self) -> Images:
        """All pictures person by person, labelled by place."""
        placed = torch.from_numpy(self.place(self.images.labels))
        order = placed.argsort(stable=True)
        return self.images[order].labelled(placed[order])

    def place(self, labels: Tensor) -> NDArray[np.int64]:
        """Where people stand in ``numbers``, by their labels ``(N,)``."""
        return np.searchsorted(self.numbers, labels.cpu().numpy())


def enrolled(train: Images) -> People:
    """Everybody of whom there are pictures."""
    return People(train, np.unique(train.labels.cpu().numpy()))


class Embeddings:
    """Compares by the cosine similarity of embeddings; people are enrolled once.

    Args:
        network: Its features are the embedding.
        match: Similarity with the mean of a person's embeddings, or the highest.
    """

    yes_or_no: ClassVar[bool] = False

    def __init__(self, network: Classifier, match: Match) -> None:
        self.network, self.match = network, match
        self._enrolled: tuple[Sequence[Tensor], Gallery] | None = None

    def compare(
        self, pictures: Pictures, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
    ) -> NDArray[np.float64]:
        """Similarities in [-1, 1], one per pair; see `harness.types.Comparer`."""
        scores = self._gallery(people, run).scores(embed(self.network, pictures, run, "pictures"))
        found: NDArray[np.float64] = scores[pairs[:, 0], pairs[:, 1]]
        return found

    def _gallery(self, people: Sequence[Tensor], run: Run) -> Gallery:
        if self._enrolled is None or self._enrolled[0] is not people:
            own = people.in_turn() if isinstance(people, People) else _in_turn(people)
            embedded = embed(self.network, own, run, "enrolment")
            self._enrolled = people, enrol(embedded, own.labels.numpy(), self.match)
        return self._enrolled[1]


def _in_turn(people: Sequence[Tensor]) -> Images:
    own = list(people)
    return Images(torch.cat(own), torch.arange(len(own)).repeat_interleave(torch.tensor([len(one) for one in own])))


def answers(
    comparer: Comparer, pictures: Tensor, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
) -> NDArray[np.float64]:
    """What somebody from outside answers, checked ``(Q,)``.

    Raises:
        JudgeError: If these are not as many finite numbers as there are questions, or not yes or no where promised.
        UnansweredError: If there are none yet.
    """
    found = np.asarray(comparer.compare(pictures, people, pairs, run), np.float64)
    name = type(comparer).__name__
    if found.shape != (len(pairs),) or not np.isfinite(found).all():
        raise JudgeError(
            f"{name} answered with numbers of shape {found.shape}, {int((~np.isfinite(found)).sum())} not finite",
            f"{len(pairs)} finite numbers, one for each pair",
            "correct its method compare",
        )
    if comparer.yes_or_no and not np.isin(found, (0.0, 1.0)).all():
        raise JudgeError(f"{name} answered {found[~np.isin(found, (0, 1))][0]:g}", "0 or 1", "or set yes_or_no = False")
    return found


def replies(
    speaker: Speaker, pictures: Tensor, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
) -> list[Reply]:
    """What somebody says who may also refuse, checked: one reply to each question.

    Raises:
        JudgeError: If there are more or fewer, or one is no reply.
        UnansweredError: If there are none yet.
    """
    found = list(speaker.replies(pictures, people, pairs, run))
    odd = [one for one in found if not isinstance(one, Reply)]
    if odd or len(found) != len(pairs):
        raise JudgeError(
            f"{type(speaker).__name__} gave {len(found)} replies, {len(odd)} of which are none",
            f"{len(pairs)} of unveil.harness.types.Reply, one for each pair",
            "correct its method replies",
        )
    return found
