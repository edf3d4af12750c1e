"""How much a student learns about the private people from the reconstructions alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.plan import settings as plugin_settings
from unveil.harness.training.fit import fit, predict
from unveil.harness.types import Data, Defense, Direction, Evidence, GivenModel, Images, Measurement, Metric, Need
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.needs import NEEDED
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalSpec, Spec
from unveil.metrics.judging import reconstructions, rounded
from unveil.metrics.questions import by_content

Rate = Annotated[float, Field(gt=0)]
TRAIN, TEST = "private training pictures right", "private test pictures right"
RESNET50 = Spec("timm", {"architecture": "resnet50.tv_in1k", "weights": "hub", "size": 224})


@dataclass(frozen=True)
class KnowledgeExtraction(Metric):
    """Accuracy on the real private pictures of a student that has seen nothing but the reconstructions.

    The knowledge extraction score xi: a new classifier is trained on the reconstructions, each labelled with the person
    it should show, and then has to tell the attacked people apart on their real pictures, the target's training
    pictures (xi_train) and the held-out test pictures (xi_test). No evaluator has a say, so an attack cannot win by
    fooling one. **Chance is 1 / K** for K attacked people: 1 % of 100 people, but half of two. A student that was
    trained on real pictures of the people is the ceiling (the control ``held_out_private``).

    The student is published as a ResNet-50 with ImageNet weights at 224 pixels, which is fetched from the hub the
    first time: where it cannot be, the cell fails and is tried again, while a weight file or asset that is not there
    means "not scored". For small pictures or a CPU, name another student and fewer epochs. Crops are resized to the
    size of the pictures, and the student resizes them to its own.

    All reconstructions count, rounded to 8 bits. The order they come in does not matter.

    Attributes:
        student: A model plugin.
        epochs: Passes over the reconstructions.
        batch: Most pictures in a batch.
        lr: Learning rate of SGD at the start, falling along half a cosine, epoch by epoch.
        lr_last: Where it would be after the last epoch.
        momentum: Of SGD.
        weight_decay: L2 penalty.
        least_shown: Smallest share of a picture's area in a random crop, which keeps the picture's proportions.
        flip: Whether pictures are mirrored at random.
        minimum: Fewest reconstructions of each attacked person; 50 are published.
    """

    paper: ClassVar[str] = "Struppek et al., Be Careful What You Smooth For, ICLR 2024"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    student: LocalSpec = field(default=RESNET50)
    epochs: Annotated[int, Field(ge=1)] = 75
    batch: Annotated[int, Field(ge=2)] = 32
    lr: Rate = 0.1
    lr_last: Annotated[float, Field(ge=0)] = 1e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    least_shown: Annotated[float, Field(gt=0, le=1)] = 0.8
    flip: bool = True
    minimum: Annotated[int, Field(ge=1)] = 2

    def canonical(self) -> Mapping[str, Any]:
        """Settings as identities say them: one was called ``crop``, which no plan could set."""
        said = plugin_settings.said(self)
        return {**{name: value for name, value in said.items() if name != "least_shown"}, "crop": self.least_shown}

    def content(self) -> Mapping[str, str]:
        """Which student it is, says a node of its own."""
        return {"student": NEEDED}

    def needs(self) -> Mapping[str, Need]:
        """The student, before it has seen anything of this."""
        return {"student": GivenModel(self.student)}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Columns: private training and private test pictures right.

        Raises:
            TrainingError: If training diverges.
        """
        data, fakes = evidence.data, by_content(reconstructions(evidence))
        reason = self._too_few(fakes, data)
        if reason is not None:
            return [_column(name, reason=reason) for name in (TRAIN, TEST)]
        people = fakes.labels.unique().cpu()
        student = self._taught(evidence.given.models["student"], fakes, people, evidence.run)
        return [
            _right(name, student, part, people, evidence.run) for name, part in ((TRAIN, data.train), (TEST, data.test))
        ]

    def _taught(self, beginner: Classifier, fakes: Images, people: Tensor, run: Run) -> Classifier:
        """A copy of the student after training; continues bit for bit where it was interrupted."""
        shown = fakes.labelled(torch.searchsorted(people, fakes.labels))
        student = copy.deepcopy(beginner).requires_grad_(True)
        student.outputs = First(len(people))
        recipe = Falling(
            epochs=self.epochs, batch=self.batch, optimiser="sgd", lr=self.lr, lr_last=self.lr_last,
            momentum=self.momentum, weight_decay=self.weight_decay, warmup=0.0,
            flip=False, shift=0, brightness=0.0, views=0, select="last",
        )  # fmt: skip
        fit(student, [Crops(self.least_shown, self.flip)], shown, shown[:0], recipe, run)
        return student

    def _too_few(self, fakes: Images, data: Data) -> str | None:
        people, counts = fakes.labels.unique(return_counts=True)
        if len(people) < 2:
            return "one person was attacked: there is nobody to tell them from"
        if int(counts.min()) < self.minimum:
            fewest = int(people[counts.argmin()])
            return f"{int(counts.min())} reconstructions of class {fewest}, fewer than the minimum of {self.minimum}"
        alone = sorted(set(people.tolist()) - set(data.train.labels.tolist()))
        return f"no private training picture of class {', '.join(map(str, alone[:5]))}" if alone else None


class First(nn.Module):
    """The first of the logits alone, so that a head for more classes is one for so many.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, o: Tensor) -> Tensor:
        """Logits ``(N, C)`` to ``(N, count)``."""
        return o[:, : self.count]


@dataclass(frozen=True)
class Falling(Recipe):
    """A recipe whose learning rate falls along half a cosine to another rate than zero, once an epoch.

    Attributes:
        lr_last: Learning rate after the last epoch.
    """

    lr_last: float = 0.0

    def rate(self, epoch: float, batches: int) -> float:  # noqa: ARG002
        """Learning rate at a time in epochs from the start."""
        return self.lr_last + (self.lr - self.lr_last) * 0.5 * (1 + math.cos(math.pi * int(epoch) / self.epochs))


@dataclass(frozen=True)
class Crops(Defense):
    """Random crops, resized to the picture's size, and mirror images: augmentation is a hook that defenses have.

    Attributes:
        least: Smallest share of a picture's area.
        flip: Whether pictures are mirrored at random.
    """

    least: float
    flip: bool

    def augment(self, images: Images, run: Run) -> Images:
        """Another crop of each picture."""
        n, generator = len(images), run.generator("crops")
        drawn = torch.rand(n, 4, generator=generator)
        side = (self.least + (1 - self.least) * drawn[:, 0]).sqrt()  # of the crop, where a picture's is 1
        mirror = torch.where((drawn[:, 3] < 0.5) & self.flip, -1.0, 1.0)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = side * mirror, side
        theta[:, :, 2] = (2 * drawn[:, 1:3] - 1) * (1 - side[:, None])
        x = images.pixels
        grid = F.affine_grid(theta.to(x), list(x.shape), align_corners=False)
        made = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        return Images(made.clamp(0, 1), images.labels)


def _right(name: str, student: Classifier, images: Images, people: Tensor, run: Run) -> Measurement:
    own = images[torch.isin(images.labels.cpu(), people)]
    if not len(own):
        return _column(name, reason="there is none of the attacked people")
    answers = predict(student, rounded(own), device=run.device).argmax(1)
    right = (people[answers] == own.labels.cpu()).double().numpy()
    return _column(name, values=right, identities=own.labels.cpu().numpy())


def _column(
    name: str,
    *,
    values: NDArray[np.float64] | None = None,
    identities: NDArray[np.int64] | None = None,
    reason: str | None = None,
) -> Measurement:
    samples = 0 if values is None else len(values)
    return Measurement(
        name, "share", Direction.LEAKS, 0.0, 1.0, values=values, identities=identities, samples=samples, reason=reason
    )
