"""LOMMA: another identity loss and students of the target, in GMI or KEDMI (Nguyen et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.gmi import GMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.search import Identity, prior_of, seen_by
from unveil.harness.errors import UnveilError
from unveil.harness.types import (
    Access,
    Budget,
    Classifier,
    Distillation,
    Images,
    Ingredients,
    Run,
    Spec,
    Surrogate,
    View,
)

Base: TypeAlias = Literal["gmi", "kedmi"]
Variant: TypeAlias = Literal["baseline", "logit", "aug", "both"]
PRIORS: Mapping[Base, Spec] = {"gmi": Spec("wgan_gp"), "kedmi": Spec("inversion_gan")}
EFFICIENTNETS = tuple(Spec("timm", {"architecture": f"efficientnet_b{i}", "weights": "hub"}) for i in range(3))
CHUNK = 256  # public pictures per pass; part of how their mean is rounded, so not a setting


@dataclass(frozen=True)
class LOMMA:
    """LOMMA: GMI or KEDMI with the logit as loss, features kept near a public mean, and students beside the target.

    The mean feature of public pictures is measured on the very target that is attacked, defense included, and so are
    the students taught by it; the released code reuses the mean of an undefended target. Latents stay in [-1, 1].

    Attributes:
        base: ``"gmi"`` or ``"kedmi"``: how latents are searched.
        variant: ``"baseline"`` (the base as it is), ``"logit"`` (only the new loss), ``"aug"`` (only the students) or
            ``"both"``.
        prior: The generator whose latents are searched; None takes the base's own, ``wgan_gp`` or ``inversion_gan``.
        students: Models that the target is distilled into; by default the published EfficientNets, whose ImageNet
            weights are downloaded the first time (they normalise as ImageNet models do, the released ones not).
        student_epochs: Passes over the public pictures in distillation.
        student_batch: Pictures in a batch of distillation.
        student_lr: Learning rate of distillation, halved every 20 epochs.
        reference: Public pictures, at most, whose mean feature is the regulariser's centre.
        feature_weight: Weight of the regulariser within the identity loss.
        samples: Reconstructions per identity: restarts of GMI, draws of KEDMI.
        steps: Steps of descent.
        lr: Step size of GMI, learning rate of KEDMI's Adam.
        identity_weight: Weight of the identity loss against realism.
        momentum: Momentum, with ``"gmi"``.
        batch_equivalent: Each image's gradient is divided by this, with ``"gmi"``; 60 as published.
        log_variance_init: First log-variance, with ``"kedmi"``.
        batch: Images (with ``"kedmi"`` identities) in memory at once; changes no result beyond rounding (except with a
            coupled prior).
    """

    base: Base = "gmi"
    variant: Variant = "both"
    prior: Spec | None = None
    students: tuple[Spec, ...] = EFFICIENTNETS
    student_epochs: Annotated[int, Field(ge=1)] = 20
    student_batch: Annotated[int, Field(ge=2)] = 64
    student_lr: Annotated[float, Field(gt=0)] = 0.01
    reference: Annotated[int, Field(ge=1)] = 5050
    feature_weight: Annotated[float, Field(ge=0)] = 1.0
    samples: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 2400
    lr: Annotated[float, Field(gt=0)] = 0.02
    identity_weight: Annotated[float, Field(ge=0)] = 100.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    batch_equivalent: Annotated[int, Field(ge=1)] = 60
    log_variance_init: float = 1.0
    batch: Annotated[int, Field(ge=1)] = 300

    paper: ClassVar[str] = "Nguyen et al., Re-thinking Model Inversion Attacks Against Deep Neural Networks, CVPR 2023"
    access: ClassVar[Access] = Access.WHITE_BOX

    def __post_init__(self) -> None:
        if any(self.students.count(one) > 1 for one in self.students):
            raise ValueError("students repeat, but equal ones learn the same; give each another model or width")

    def needs(self) -> Spec:
        """The prior it searches."""
        return PRIORS[self.base] if self.prior is None else self.prior

    def surrogates(self) -> Sequence[Surrogate]:
        """The students, where the variant has them."""
        if self.variant not in ("aug", "both"):
            return ()
        how = Distillation(self.student_epochs, self.student_batch, self.student_lr)
        return tuple(Surrogate(model, how) for model in self.students)

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives ``samples`` pictures of each label; see `harness.types.Attack.reconstruct`."""
        attack = self.within(view.budget, len(labels), len(ingredients.public))
        if attack != self:
            run.note(f"kept to its budget with reference = {attack.reference}, steps = {attack.steps}")
        identity = attack.identity(view, ingredients, run)
        return attack.attack().descend(view, prior_of(ingredients, run), identity, labels, run)

    def within(self, budget: Budget, identities: int, public: int) -> LOMMA:
        """The same with reference and steps cut by one factor, where the budget does not reach.

        Without the new loss nothing is asked before the descent, which stops by itself.
        """
        if self.criterion != "logit":
            return self
        reference = min(self.reference, public)
        each = self.steps * (self.samples if self.base == "gmi" else 1)
        share = afford.share(budget, reference + identities * each)
        if share == 1:
            return self
        return replace(self, reference=max(1, int(reference * share)), steps=max(1, int(self.steps * share)))

    def attack(self) -> GMI | KEDMI:
        """The base, whose own identity loss is that of the baseline."""
        if self.base == "gmi":
            return GMI(
                prior=self.needs(), restarts=self.samples, steps=self.steps, lr=self.lr, momentum=self.momentum,
                identity_weight=self.identity_weight, batch_equivalent=self.batch_equivalent, batch=self.batch,
            )  # fmt: skip
        return KEDMI(
            prior=self.needs(), draws=self.samples, steps=self.steps, lr=self.lr, clamp=True,
            log_variance_init=self.log_variance_init, identity_weight=self.identity_weight, batch=self.batch,
        )  # fmt: skip

    @property
    def criterion(self) -> IdentityLoss:
        """What each model's logits are judged by."""
        return "logit" if self.variant in ("logit", "both") else "cross_entropy"

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends on the target, but for the regulariser; see `harness.types.Guided`."""
        return IDENTITY_LOSSES[self.criterion](o, y)

    def identity(self, view: View, ingredients: Ingredients, run: Run) -> Identity:
        """``L_id = mean_m L(o_m, y) + λ_reg mean_j (f_T(x) - p_reg)_j²``, the second term only with the new loss."""
        if self.variant == "baseline":
            return seen_by(view, self.criterion)
        students = self._students(ingredients, run)
        p_reg = mean_feature(view, ingredients.public, self.reference, run) if self.criterion == "logit" else None

        def identity(x: Tensor, y: Tensor) -> Tensor:
            f, o = view.features_and_logits(x)
            outputs = [o, *(student.logits(x) for student in students)]
            loss = torch.stack([self.identity_loss(one.float(), y) for one in outputs]).mean(0)
            return loss if p_reg is None else loss + self.feature_weight * (f.float() - p_reg).square().mean(1)

        return identity

    def _students(self, ingredients: Ingredients, run: Run) -> list[Classifier]:
        wanted, given = len(self.surrogates()), len(ingredients.surrogates)
        if given != wanted:
            raise UnveilError(
                f"the attack was given {given} students", f"{wanted}, one for each that its settings name"
            )
        return [
            student.eval().requires_grad_(False).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for student in ingredients.surrogates
        ]


@torch.no_grad()
def mean_feature(view: View, public: Images, most: int, run: Run) -> Tensor:
    """The target's mean penultimate feature ``(F,)`` of public pictures: p_reg.

    The paper draws from a Gaussian fitted to the features; the released code uses the mean, and so does this.

    Args:
        view: The target, asked about each picture once.
        public: Public pictures.
        most: How many are used at most; which ones is drawn if there are more.
        run: Randomness and device.
    """
    index = torch.randperm(len(public), generator=run.generator("reference"))[:most].sort().values
    parts = [
        view.features(public.pixels[part].to(run.device, memory_format=torch.channels_last)).double().sum(0)
        for part in torch.split(index, CHUNK)
    ]
    return (torch.stack(parts).sum(0) / len(index)).float()
