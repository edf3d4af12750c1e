"""LOKT: moves what the target's labels say into surrogates, and inverts these (Nguyen et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks.frozen import Judge, judges_of, prior_of
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.plgmi import COPIES, PLGMI
from unveil.attacks.search import Identity
from unveil.harness.types import (
    Access,
    Distillation,
    Generator,
    Images,
    Ingredients,
    Need,
    Run,
    Spec,
    Surrogate,
    TrainedPrior,
    View,
)
from unveil.harness.words.errors import UnveilError

DENSENETS = tuple(Spec("timm", {"architecture": f"densenet{n}", "weights": "hub"}) for n in (121, 161, 169))
VIEWS = 0.5  # share of a surrogate's loss that random views have
MOMENTUM, DECAY = 0.9, 5e-4
Asked: TypeAlias = Literal["surrogates", "discriminator"]


@runtime_checkable
class Telling(Protocol):
    """A prior whose discriminator says whom a picture shows."""

    def class_logits(self, x: Tensor) -> Tensor:
        """Pixels ``(N, C, H, W)`` to logits of the target's classes ``(N, classes)``."""
        ...


@dataclass(frozen=True)
class LOKT:
    """LOKT: PLG-MI on surrogates that were taught by the target's labels; the target itself is asked nothing more.

    A prior that learnt the target's classes from labels draws pictures of each; the target labels them; surrogates
    learn these labels. Latents of the prior are then descended in the surrogates' mean max-margin over two random
    views. All labels are asked before the attack begins, once for all people: those of the prior and of the surrogates
    stand beside the attack's own, which are none.

    Departures: surrogates have their own pooling and head, where the published ones flatten what a DenseNet's trunk
    gives, and each has pictures of its own, whose labels it pays for. Views that teach them are crops and mirror
    images, without colour and turn.

    Attributes:
        prior: The generator whose latents are searched; it must take a class.
        source: The prior whose pictures the surrogates are taught on; by default the same.
        samples: Pictures of each class that the target labels for each surrogate.
        models: The surrogates. By default the published DenseNets, whose ImageNet weights are downloaded the first
            time; small networks are an honest substitute for small pictures.
        judged_by: ``"surrogates"``, or the prior's own ``"discriminator"``, which needs no more labels and no models.
        student_epochs: Passes of each surrogate over its pictures.
        student_batch: Pictures in a batch.
        student_lr: Learning rate of SGD, falling to nothing along half a cosine.
        restarts: Reconstructions per identity, each from its own start.
        steps: Steps of Adam in the latents.
        lr: Learning rate of Adam.
        identity: Identity loss; max-margin in the paper.
        batch: Images in memory at once; changes no result beyond rounding.
    """

    prior: Spec = field(default=Spec("t_acgan"))
    source: Spec | None = None
    samples: Annotated[int, Field(ge=1)] = 500
    models: tuple[Spec, ...] = DENSENETS
    judged_by: Asked = "surrogates"
    student_epochs: Annotated[int, Field(ge=1)] = 200
    student_batch: Annotated[int, Field(ge=2)] = 256
    student_lr: Annotated[float, Field(gt=0)] = 0.1
    restarts: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 600
    lr: Annotated[float, Field(gt=0)] = 0.1
    identity: IdentityLoss = "max_margin"
    batch: Annotated[int, Field(ge=1)] = 150

    paper: ClassVar[str] = "Nguyen et al., Label-Only Model Inversion Attacks via Knowledge Transfer, NeurIPS 2023"
    access: ClassVar[Access] = Access.LABELS
    shown_each: ClassVar[int] = COPIES

    def __post_init__(self) -> None:
        if not self.models or any(self.models.count(one) > 1 for one in self.models):
            raise ValueError("models are none or repeat, but equal ones learn the same; give each another width")

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that change nothing beside the others: without surrogates, what they learn from and how long."""
        return ("samples", "student_epochs") if self.judged_by == "discriminator" else ()

    def needs(self) -> Mapping[str, Need]:
        """The prior, and the surrogates where they judge."""
        prior = TrainedPrior(self.prior)
        if self.judged_by == "discriminator":
            return {"prior": prior}
        how = Distillation(
            self.student_epochs,
            self.student_batch,
            self.student_lr,
            MOMENTUM,
            DECAY,
            cosine=True,
            views=VIEWS,
        )
        source = self.source or self.prior
        taught = {f"surrogate {i}": Surrogate(one, how, source, self.samples) for i, one in enumerate(self.models)}
        return {"prior": prior, **taught}

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives ``restarts`` pictures of each label; see `harness.types.Attack.reconstruct`."""
        prior = prior_of(ingredients, run)
        judges = self._judges(ingredients, run)
        return self._search.descend(view, prior, self.seen(judges), labels, run)

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior that tells no class where it judges, or takes none; see `harness.types.Demanding`."""
        if self.judged_by == "discriminator":
            _telling(prior)
        self._search.require_prior(prior, shape)

    @property
    def _search(self) -> PLGMI:
        """How the surrogates are descended."""
        return PLGMI(self.prior, self.restarts, self.steps, self.lr, self.identity, self.batch)

    def seen(self, judges: Sequence[Judge]) -> Identity:
        """The mean identity loss over all that judge in the target's place."""
        loss = IDENTITY_LOSSES[self.identity]
        return lambda x, y: torch.stack([loss(judge(x).float(), y) for judge in judges]).mean(0)

    def _judges(self, ingredients: Ingredients, run: Run) -> list[Judge]:
        if self.judged_by == "discriminator":
            return [_telling(ingredients.prior).class_logits]
        if len(ingredients.surrogates) != len(self.models):
            raise UnveilError(f"lokt was given {len(ingredients.surrogates)} surrogates", f"{len(self.models)}")
        return judges_of(ingredients, run)


def _telling(prior: Generator | None) -> Telling:
    if not isinstance(prior, Telling):
        raise UnveilError(
            f"lokt was given a {type(prior).__name__}, whose discriminator knows no classes",
            "a prior such as t_acgan",
            'set its prior to t_acgan, or judged_by to "surrogates"',
        )
    return prior
