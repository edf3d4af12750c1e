"""LOMMA: another identity loss and students of the target, in GMI, KEDMI or their like (Nguyen et al., CVPR 2023)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.around import AroundBase
from unveil.attacks.frozen import Judge, judges_of, prior_of
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.search import Descends, Identity, seen_by
from unveil.harness.plan import plugins
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import (
    Access,
    Budget,
    Distillation,
    Generator,
    Images,
    Ingredients,
    Need,
    Run,
    Spec,
    Surrogate,
    View,
)
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.spec import HeldAttack

Variant: TypeAlias = Literal["baseline", "logit", "aug", "both"]
EFFICIENTNETS = tuple(Spec("timm", {"architecture": f"efficientnet_b{i}", "weights": "hub"}) for i in range(3))
CHUNK = 256  # public pictures per pass; part of how their mean is rounded, so not a setting
SAMPLES = ("restarts", "draws")  # what bases call the pictures of a person, which a plan may call samples
CLAMPED = {"clamp": True}  # latents stay in [-1, 1], whatever the base does by itself

# Identities of LOMMA on these two say the base's settings beside LOMMA's own, and these where the base has no such one.
FLAT: Mapping[str, Mapping[str, Any]] = {
    "gmi": {"identity": "cross_entropy", "clip": 1.0},  # what is not said, unless it is something else
    "kedmi": {"identity": "cross_entropy", "clamp": True},
}
BESIDE: Mapping[str, Any] = {"momentum": 0.9, "batch_equivalent": 60, "log_variance_init": 1.0}


@dataclass(frozen=True)
class LOMMA(AroundBase):
    """LOMMA: an attack with the logit as loss, features kept near a public mean, and students beside the target.

    The mean feature of public pictures is measured on the very target that is attacked, defense included, and so are
    the students taught by it; the released code reuses the mean of an undefended target. Latents stay in [-1, 1].

    The base keeps its own settings: ``base = { use = "gmi", restarts = 3, steps = 100 }``. They may also stand beside
    LOMMA's, where ``samples`` is what the base calls restarts or draws: ``base = "gmi"``, ``samples = 3``.

    Attributes:
        base: How latents are searched: ``gmi``, ``kedmi``, or whichever attack can descend another identity loss.
        variant: ``"baseline"`` (the base as it is), ``"logit"`` (only the new loss), ``"aug"`` (only the students) or
            ``"both"``.
        students: Models that the target is distilled into; by default the published EfficientNets, whose ImageNet
            weights are downloaded the first time (they normalise as ImageNet models do, the released ones not).
        student_epochs: Passes over the public pictures in distillation.
        student_batch: Pictures in a batch of distillation.
        student_lr: Learning rate of distillation, halved every 20 epochs.
        reference: Public pictures, at most, whose mean feature is the regulariser's centre.
        feature_weight: Weight of the regulariser within the identity loss.
    """

    base: HeldAttack = field(default=Spec("gmi"))
    variant: Variant = "both"
    students: tuple[Spec, ...] = EFFICIENTNETS
    student_epochs: Annotated[int, Field(ge=1)] = 20
    student_batch: Annotated[int, Field(ge=2)] = 64
    student_lr: Annotated[float, Field(gt=0)] = 0.01
    reference: Annotated[int, Field(ge=1)] = 5050
    feature_weight: Annotated[float, Field(ge=0)] = 1.0

    paper: ClassVar[str] = "Nguyen et al., Re-thinking Model Inversion Attacks Against Deep Neural Networks, CVPR 2023"
    access: ClassVar[Access] = Access.WHITE_BOX

    def __post_init__(self) -> None:
        if any(self.students.count(one) > 1 for one in self.students):
            raise ValueError("students repeat, but equal ones learn the same; give each another model or width")
        self.attack()

    @classmethod
    def from_plan(cls, settings: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """Moves settings of the base that stand beside LOMMA's own into ``base``.

        Raises:
            PluginError: If one is neither LOMMA's nor the base's, or the base has settings in two places.
        """
        own = [f.name for f in dataclasses.fields(cls)]
        beside = {name: value for name, value in settings.items() if name not in own}
        base = settings.get("base", "gmi")
        if not beside or not isinstance(base, str | Mapping):
            return settings
        use = base if isinstance(base, str) else base.get("use", "")
        known = [f.name for f in dataclasses.fields(plugins.load("attacks", use, folder))]
        renamed = dict(zip(("samples",), (name for name in SAMPLES if name in known), strict=False))
        for name in beside:
            if renamed.get(name, name) not in known:
                raise PluginError(
                    f"lomma on {use} has no setting {name!r}{plugins.suggest(name, [*own, *renamed, *known])}",
                    f"one of {', '.join(own)}; or of {use}: {', '.join([*renamed, *known])}",
                    "correct or remove it",
                )
        if isinstance(base, Mapping) and len(base) > 1:
            raise PluginError(
                f"lomma has settings of its base {use} both in base and beside it ({', '.join(beside)})",
                "all of them in one place",
                "move them into base",
            )
        inner = {renamed.get(name, name): value for name, value in beside.items()}
        kept = {name: value for name, value in settings.items() if name in own}
        return {**kept, "base": {"use": use, "settings": inner}}

    def canonical(self) -> Mapping[str, Any]:
        """Settings as identities say them; see `harness.plan.settings.question`."""
        own, use, attack = plugin_settings.said(self), self.base.use, self.attack()
        if use not in FLAT:
            return {**own, "base": plugin_settings.question(self.base, attack)}
        said = {
            name: value for name, value in plugin_settings.said(attack).items() if FLAT[use].get(name, ...) != value
        }
        samples = next(said.pop(name) for name in SAMPLES if name in said)
        prior = said["prior"] if "prior" in self.base.settings else None
        return {**BESIDE, **own, **said, "base": use, "samples": samples, "prior": prior}

    def needs(self) -> Mapping[str, Need]:
        """What the base needs, and the students where the variant has them."""
        if not self.augmented:
            return super().needs()
        how = Distillation(self.student_epochs, self.student_batch, self.student_lr)
        students = {f"student {i}": Surrogate(model, how) for i, model in enumerate(self.students)}
        return {**super().needs(), **students}

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives as many pictures of each label as the base; see `harness.types.Attack.reconstruct`."""
        attack = self.within(view.budget, len(labels), len(ingredients.public))
        base = attack.attack()
        if attack != self:
            run.note(f"kept to its budget with reference = {attack.reference}, steps = {base.steps}")
        return base.descend(view, prior_of(ingredients, run), attack.seen(view, ingredients, run), labels, run)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """As the base descends that identity loss."""
        return self.attack().descend(view, prior, identity, labels, run)

    def within(self, budget: Budget, identities: int, public: int | None = None) -> LOMMA:
        """The same with reference and steps cut by one factor, where the budget does not reach.

        Without the new loss nothing is asked before the descent, which stops by itself.
        """
        if not self.regularised:
            return self
        base = self.attack()
        reference = self.reference if public is None else min(self.reference, public)
        share = afford.share(budget, reference + identities * base.steps * base.passes)
        if share == 1:
            return self
        steps = max(1, int(base.steps * share))
        fewer = Spec(self.base.use, {**self.base.settings, "steps": steps})
        return replace(self, reference=max(1, int(reference * share)), base=fewer)

    def attack(self) -> Descends:
        """The base, whose own identity loss is that of the baseline.

        Raises:
            PluginError: If it cannot be made, or descend nothing but its own identity loss.
        """
        cls = plugins.load("attacks", self.base.use, Path())
        clamped = CLAMPED if any(f.name in CLAMPED for f in dataclasses.fields(cls)) else {}
        made: Any = plugin_settings.validated(cls, self.base.use, {**clamped, **self.base.settings}, Path())
        if not isinstance(made, Descends):
            raise PluginError(
                f"{self.base.use} cannot be the base of lomma: it descends no identity loss but its own",
                "an attack with a method `descend`, such as gmi, kedmi or plgmi",
                "choose another base",
            )
        return made

    @property
    def augmented(self) -> bool:
        """Whether students look beside the target."""
        return self.variant in ("aug", "both")

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that change nothing beside the others: without students, how long they learn."""
        return () if self.augmented else ("student_epochs",)

    @property
    def regularised(self) -> bool:
        """Whether the loss is LOMMA's own, with its regulariser."""
        return self.variant in ("logit", "both")

    @property
    def criterion(self) -> IdentityLoss:
        """What each model's logits are judged by: LOMMA's, or the base's own where that says one."""
        own: IdentityLoss = getattr(self.attack(), "identity", "cross_entropy")
        return "logit" if self.regularised else own

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends on the target, but for the regulariser; see `harness.types.Guided`."""
        return IDENTITY_LOSSES[self.criterion](o, y)

    def seen(self, view: View, ingredients: Ingredients, run: Run) -> Identity:
        """``L_id = mean_m L(o_m, y) + λ_reg mean_j (f_T(x) - p_reg)_j²``, the second term only with the new loss."""
        criterion = self.criterion
        if self.variant == "baseline":
            return seen_by(view, criterion)
        students = self._students(ingredients, run)
        p_reg = mean_feature(view, ingredients.public, self.reference, run) if self.regularised else None

        def identity(x: Tensor, y: Tensor) -> Tensor:
            f, o = view.features_and_logits(x)
            outputs = [o, *(student(x) for student in students)]
            loss = torch.stack([IDENTITY_LOSSES[criterion](one.float(), y) for one in outputs]).mean(0)
            return loss if p_reg is None else loss + self.feature_weight * (f.float() - p_reg).square().mean(1)

        return identity

    def _students(self, ingredients: Ingredients, run: Run) -> list[Judge]:
        wanted = sum(isinstance(need, Surrogate) for need in self.needs().values())
        given = len(ingredients.surrogates)
        if given != wanted:
            raise UnveilError(
                f"the attack was given {given} students", f"{wanted}, one for each that its settings name"
            )
        return judges_of(ingredients, run)


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
        view.features(public.at(part).to(run.device, memory_format=torch.channels_last)).double().sum(0)
        for part in torch.split(index, CHUNK)
    ]
    return (torch.stack(parts).sum(0) / len(index)).float()
