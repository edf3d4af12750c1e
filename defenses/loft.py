"""LoFt and CALoR: a head of low rank, so that the answer depends on few directions of the features."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import nn

from unveil.defenses.confidence_adaptation import Adapting, adaptation
from unveil.defenses.plain_learner import require_plain
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Classifier, Defense, Learner, Run, Step, Terms
from unveil.harness.words.errors import PluginError

PUBLISHED = 50  # rank
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "none": nn.Identity}


@dataclass(frozen=True)
class LoFt(Defense):
    """Low-rank features: what the head sees of them passes through k numbers.

    The head on features of length F becomes BatchNorm(F), Linear(F -> k), tanh, Linear(k -> C). The Jacobian of the
    answer has rank k at most; the least error that an inversion can have grows as that rank falls (the paper's
    Theorem). With k as large as the number of classes nothing is kept back, and that is refused.

    With ``adapt_epochs`` it is CALoR: in the last epochs of the recipe the loss is that of *confidence adaptation*
    alone, ``-alpha * p_y^gamma * (-ln p_y)``, which is lowest at p_y = e^(-1/gamma) = .8825. It raises the confidence
    of pictures below and lowers that of pictures above, so that what the target is surest of is not what it was
    trained on. The epoch that is kept is the last.

    ``features`` remain those of the last stage, the neck's input.

    Departure: published, adaptation is five epochs of its own after a whole training; here they are the last of the
    recipe's, so that every defense trains for as long.

    Attributes:
        rank: k, below the number of classes; 0 is strength zero, the plain head. Published: 50, and 40 in CALoR, at 530
            and 1,000 classes. None is that or half the number of classes, whichever is less.
        activation: Between the two layers.
        adapt_epochs: Epochs of adaptation, fewer than the recipe's; 0 is LoFt alone, 5 of 105 published.
        adapt_lr: Their learning rate (SGD, momentum .9), a tenth of it from three fifths of them on, and a tenth of
            that from four fifths on.
        alpha: Weight of the adaptation; .25 published.
        gamma: Its exponent; 8 published.
    """

    paper: ClassVar[str] = (
        "Qiu et al., CALoR: Towards Comprehensive Model Inversion Defense, arXiv:2410.05814; as LoFt, KDD 2026"
    )

    rank: Annotated[int, Field(ge=0)] | None = None
    activation: Literal["tanh", "relu", "none"] = "tanh"
    adapt_epochs: Annotated[int, Field(ge=0)] = 0
    adapt_lr: Annotated[float, Field(gt=0)] = 2e-5
    alpha: Annotated[float, Field(gt=0)] = 0.25
    gamma: Annotated[float, Field(gt=0)] = 8.0

    def __post_init__(self) -> None:
        if self.rank == 0 and self.adapt_epochs:
            raise PluginError(
                f"loft with adapt_epochs = {self.adapt_epochs} and rank = 0", "a rank", "set rank, or adapt_epochs = 0"
            )

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:
        """Puts the neck before a new head.

        Raises:
            PluginError: If the head is not linear, or the rank is no limit.
        """
        if self.rank == 0:
            return classifier
        head, rank = _linear(classifier.head), self._rank(classifier.classes)
        with seeded(run, "loft", "initial weights"):
            layers = OrderedDict(
                norm=nn.BatchNorm1d(head.in_features),
                narrow=nn.Linear(head.in_features, rank),
                activation=ACTIVATIONS[self.activation](),
                linear=nn.Linear(rank, head.out_features, bias=head.bias is not None),
            )
        classifier.head = nn.Sequential(layers).to(head.weight).train(classifier.training)
        return classifier

    def learner(self, learner: Learner, defenses: Sequence[Defense]) -> Learner:  # noqa: ARG002
        """Another optimiser for the epochs of adaptation.

        Raises:
            PluginError: If no epoch would be left for the rest, or another defense learns in a way of its own.
        """
        if not self.adapt_epochs:
            return learner
        if self.adapt_epochs >= learner.recipe.epochs:
            raise PluginError(
                f"loft with adapt_epochs = {self.adapt_epochs} of {learner.recipe.epochs} epochs",
                "fewer than the recipe has",
                "lower adapt_epochs, or train longer",
            )
        require_plain(learner, "loft with adapt_epochs")
        return Adapting(learner, self.adapt_epochs, self.adapt_lr)

    def selectable(self, epoch: int, epochs: int) -> bool:
        """With adaptation only the last epoch."""
        return not self.adapt_epochs or epoch == epochs - 1

    def loss(self, terms: Terms, step: Step) -> Terms:
        """In the epochs of adaptation its term is all there is."""
        if step.epoch < step.epochs - self.adapt_epochs:
            return terms
        log_p = F.log_softmax(step.forward.logits.float(), 1).gather(1, step.y[:, None]).squeeze(1)
        return {"adaptation": adaptation(log_p, self.alpha, self.gamma).mean()}

    def ladder(self, classifier: Classifier) -> Sequence[LoFt]:
        """Ranks from one less than there are classes, or 200, down to 4, each about half of the one before."""
        ranks: list[int] = []
        k = min(classifier.classes - 1, 200)
        while k >= 1 and (not ranks or k >= 4):
            ranks.append(k)
            k //= 2
        return [dataclasses.replace(self, rank=rank) for rank in ranks]

    def at_zero(self) -> LoFt:
        """The plain head, without adaptation."""
        return dataclasses.replace(self, rank=0, adapt_epochs=0)

    def _rank(self, classes: int) -> int:
        """K."""
        rank = min(PUBLISHED, max(1, classes // 2)) if self.rank is None else self.rank
        if rank >= classes:
            raise PluginError(
                f"loft with rank = {rank} on {classes} classes keeps nothing back: the plain answer has no higher rank",
                f"a rank below {classes}",
                "lower rank, or leave it out",
            )
        return rank


def _linear(head: nn.Module) -> nn.Linear:
    if not isinstance(head, nn.Linear):
        raise PluginError(
            f"loft cannot replace a head of type {type(head).__name__}",
            "one linear layer behind the last stage",
            "name loft before the defense that changes the head and once in the stack, or choose another model",
        )
    return head
