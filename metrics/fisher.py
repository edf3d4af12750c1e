"""Where in a target the information sits that its task needs, and where that which an inversion attack needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri, stdtrit
from torch import Tensor

from unveil.harness.types import Classifier, Direction, Evidence, Images, Measurement, Metric, Quantity, Run
from unveil.harness.words.names import CLASSIFICATION, DEPTH, DIFFERENCE, FIRST_HALF, INVERSION, LAYER_SHARE
from unveil.metrics.fisher_information import Layers, Loss, fisher_information, layers_of
from unveil.metrics.judging import reconstructions

TOTALS = (FIRST_HALF, DEPTH)
NO_LOSS = "the attack descends no identity loss, so there is no inversion task"
NO_PATH = "the attack left no pictures along its search"
REST = 1e-9  # share of all information that must be left without a person for the jackknife to mean anything


@dataclass(frozen=True)
class Fisher(Metric):
    """Share of each layer in the target's Fisher information, for its own task and for the attack's.

    FI(l) = 1/|l| * sum over the parameters p of l of the mean over pictures n of (d loss(n) / d p)^2, from the
    gradient of each picture alone: the square of a batch's gradient is something else. The loss is cross-entropy on
    private training pictures (``classification``), or the attack's identity loss on pictures along its search
    (``inversion``), both of the attacked people. A layer is a module with a weight, its bias included, frozen or not,
    in the order in which the forward pass calls them. Shares are FI(l) over the sum of all layers. ``first half`` is
    the share of the first half of the layers (a middle layer counts half), ``depth`` the mean place of the
    information, 0 in the first layer and 1 in the last, and ``difference`` inversion minus classification. Standard
    errors come from leaving out one person at a time (in a difference from both sides at once), widened as Student's t
    is for few people.

    The target is in evaluation mode and full precision. Gradients are taken for several pictures at once with
    ``torch.func``; what that cannot handle is done picture by picture, with the same result up to rounding. A target
    that adds noise by the bits of its features (``mid``) may meet other noise of the same distribution there.

    Attributes:
        samples: Private training pictures of each attacked person, drawn by the seed.
        chunk: Pictures whose gradients are in memory at once; changes no result beyond rounding.
        norms: Whether normalisation layers are layers of their own; otherwise they are left out.
    """

    paper: ClassVar[str] = "Ho et al., Model Inversion Robustness: Can Transfer Learning Help?, CVPR 2024 (TL-DMI)"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False
    own_part: ClassVar[bool] = False  # the target is shown pictures as the attack shows them

    samples: Annotated[int, Field(ge=1)] = 4
    chunk: Annotated[int, Field(ge=1)] = 8
    norms: bool = False

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Columns: each layer's share, first half and depth for both tasks, and the difference of the last two."""
        run, target, path = evidence.run, evidence.target.to(evidence.run.device).eval(), evidence.path
        people = np.unique(reconstructions(evidence).labels.numpy())
        if path is not None:
            people = np.intersect1d(people, path.labels.numpy())
        private = some_of_each(evidence.data.train, people, self.samples, run)
        layers = layers_of(target, private.at(slice(0, 1)).to(run.device), norms=self.norms)
        own = self._task(target, layers, cross_entropy, private, people, run)
        theirs: Task | str = NO_PATH if path is None else NO_LOSS
        if path is not None and evidence.identity_loss is not None:
            along = path[torch.from_numpy(np.isin(path.labels.numpy(), people))]
            theirs = self._task(target, layers, evidence.identity_loss, along, people, run)
        return [*figures(CLASSIFICATION, own), *figures(INVERSION, theirs), *differences(own, theirs)]

    def _task(
        self, target: Classifier, layers: Layers, loss: Loss, images: Images, people: NDArray[np.int64], run: Run
    ) -> Task | str:
        """The task's information by person and layer, or why there is none."""
        if len(layers) < 2:
            return f"the target has {len(layers)} layers with a weight, and shares need two"
        each = fisher_information(target, layers, loss, images, self.chunk, run)
        if not np.isfinite(each).all():
            return "the gradients are not finite"
        if each.sum() == 0:
            return "every gradient is zero: no information about the answer reaches the weights"
        sums = np.zeros((len(people), len(layers)))
        np.add.at(sums, np.searchsorted(people, images.labels.numpy()), each)
        return Task(tuple(layers), sums, len(images))


@dataclass(frozen=True)
class Task:
    """Fisher information of one task.

    Attributes:
        layers: Names, in forward order.
        sums: Of each person in each layer, summed over the person's pictures ``(K, L)``. The number of pictures is
            the same for all layers, so it cancels in the shares.
        samples: Pictures that went in.
    """

    layers: tuple[str, ...]
    sums: NDArray[np.float64]
    samples: int

    def read(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of all layers, first half and depth ``(L + 2,)``, and the same without each person ``(K, L + 2)``.

        Without a person whose information is practically all there is, they are NaN.
        """
        count = len(self.layers)
        place = np.arange(count)
        half = np.clip(count / 2 - place, 0, 1)  # a middle layer lies half in the first half
        top = self.sums @ np.column_stack([np.eye(count), half, place / (count - 1)])
        whole = self.sums.sum(1, keepdims=True)
        rest = whole.sum() - whole
        with np.errstate(divide="ignore", invalid="ignore"):
            without = np.where(rest > REST * whole.sum(), (top.sum(0) - top) / rest, np.nan)
        return top.sum(0) / whole.sum(), without


def cross_entropy(o: Tensor, y: Tensor) -> Tensor:
    """Logits ``(N, C)`` and labels ``(N,)`` to the loss of each sample ``(N,)``."""
    return F.cross_entropy(o, y, reduction="none")


def some_of_each(images: Images, people: NDArray[np.int64], count: int, run: Run) -> Images:
    """At most ``count`` pictures of each person, drawn by the seed."""
    chosen = []
    for person in people.tolist():
        own = (images.labels == person).nonzero()[:, 0]
        chosen.append(own[torch.randperm(len(own), generator=run.generator("fisher", person))[:count].sort().values])
    return images[torch.cat(chosen)]


def totals(name: str) -> list[Quantity]:
    """What is said of a task, or of the difference, over all layers."""
    return [Quantity(quantity=what, task=name) for what in TOTALS]


def figures(name: str, task: Task | str) -> list[Measurement]:
    """What a task's information is like, layer by layer and in two numbers."""
    if isinstance(task, str):
        return [described(column, task) for column in totals(name)]
    layers = (Quantity(quantity=LAYER_SHARE, task=name, layer=layer) for layer in task.layers)
    columns = [*layers, *totals(name)]
    values, without = task.read()
    return [described(column, task, values[i], without[:, i]) for i, column in enumerate(columns)]


def differences(own: Task | str, theirs: Task | str) -> list[Measurement]:
    """Inversion minus classification, person by person."""
    columns = totals(DIFFERENCE)
    for task in (theirs, own):
        if isinstance(task, str):
            return [described(column, task) for column in columns]
    assert isinstance(own, Task)
    assert isinstance(theirs, Task)
    (a, without_a), (b, without_b) = theirs.read(), own.read()
    both = Task(own.layers, own.sums, own.samples + theirs.samples)
    return [
        described(column, both, (a - b)[i], (without_a - without_b)[:, i])
        for i, column in zip((-2, -1), columns, strict=True)
    ]


def described(
    column: Quantity, task: Task | str, value: float = 0.0, without: NDArray[np.float64] | None = None
) -> Measurement:
    """A figure that is neither good nor bad; without a task, its reason."""
    unit = "depth" if column.quantity == DEPTH else "share"
    low = -1.0 if column.task == DIFFERENCE else 0.0
    if isinstance(task, str) or without is None:
        return Measurement(column, unit, Direction.DESCRIBES, low, 1.0, reason=str(task))
    people, error = np.arange(len(without)), jackknife(without)
    return Measurement(
        column, unit, Direction.DESCRIBES, low, 1.0, value=float(value), standard_error=error,
        identities=people, samples=task.samples,
    )  # fmt: skip


def jackknife(without: NDArray[np.float64]) -> float | None:
    """Standard error of a statistic from its values without each person ``(K,)``; None where these say nothing.

    As much wider as Student's t is wider than the normal, since intervals are made of it as of a normal one.
    """
    n = len(without)
    if n < 2 or not np.isfinite(without).all():
        return None
    wider = stdtrit(n - 1, 0.975) / ndtri(0.975)
    return float(wider * np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
