"""DP-SGD: each picture's gradient is clipped, and noise hides whether the picture was there at all."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from unveil.harness.types import Defense
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.learner import Learner
from unveil.harness.words.run import Run

if TYPE_CHECKING:
    from unveil.defenses.private_learner import PrivateLearner

MOST_GROUPS, LEAST_CHANNELS = 32, 4  # of a GroupNorm, and in each of its groups
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
WITH_ACTIVATION = "timm.layers.norm_act.BatchNormAct2d"  # timm's batch norm that applies dropout and activation, too

Budget = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["inf", "accounted"],
    BeforeValidator(lambda value: "inf" if value == math.inf else value),  # an identity has no infinite numbers
]


@dataclass(frozen=True)
class DPSGD(Defense):
    """Differentially private training with Opacus: clipped gradients of single pictures, plus calibrated noise.

    A step takes each training picture with the same probability (Poisson sampling; as many steps in an epoch as plain
    training has, and as many pictures on average), clips the gradient of each picture's loss to the norm C, sums them,
    adds Gaussian noise of standard deviation ``noise multiplier * C`` and divides by the expected number of pictures;
    the recipe's optimiser does the rest. Two data sets that differ in one training picture then give weights whose
    distributions differ by at most (epsilon, delta). Opacus chooses the noise and accounts for every step taken.

    What epsilon covers: one training picture, in the weights. Not covered are all pictures of a person at once (k
    pictures: about k epsilon), the choice of the epoch on validation pictures, the training curves, public
    pre-training, and anyone who knows the run's seed, from which the noise can be computed again.

    Batch norms couple the pictures of a batch. In all that trains they become GroupNorms with the same affine weights;
    frozen stages are a fixed function and keep theirs, so ``tl_dmi`` is named before ``dp_sgd``. Defenses whose loss
    couples pictures are refused, and so are modules that Opacus cannot handle. Training is in full precision, and
    the gradients of a whole batch are in memory at once: (pictures in the batch) * (parameters that train).

    Attributes:
        epsilon: The budget, above 0, for the whole training; the noise is calibrated to it. ``"inf"`` is strength
            zero: plain training. ``"accounted"``: set ``noise_multiplier``, and epsilon is what comes of it.
        noise_multiplier: With ``epsilon = "accounted"``, standard deviation of the noise in units of the clip norm;
            with 0 there is only clipping, and no privacy.
        delta: In (0, 1/N) for N training pictures; None is 1 / N^1.1.
        max_grad_norm: The norm C that the gradient of each picture is clipped to, above 0.
        accountant: ``"rdp"`` (Renyi; fast) or ``"prv"`` (tighter; takes seconds, minutes for large budgets).
    """

    paper: ClassVar[str] = (
        "Abadi et al., Deep Learning with Differential Privacy, CCS 2016, arXiv:1607.00133; "
        "Yousefpour et al., Opacus: User-Friendly Differential Privacy Library in PyTorch, 2021, arXiv:2109.12298"
    )

    per_sample: ClassVar[bool] = True

    epsilon: Budget = 8.0
    noise_multiplier: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_grad_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    accountant: Literal["rdp", "prv"] = "rdp"

    def __post_init__(self) -> None:
        if (self.epsilon == "accounted") != (self.noise_multiplier is not None):
            raise PluginError(
                f"dp_sgd with epsilon = {self.epsilon!r} and noise_multiplier = {self.noise_multiplier}",
                "either a budget, or epsilon = 'accounted' with a noise_multiplier",
                "drop noise_multiplier, or set both",
            )

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Makes GroupNorms of the batch norms in all that trains.

        Raises:
            PluginError: If a batch norm is of an unknown kind, or in a frozen stage and moves all the same.
        """
        if not self._acts:
            return classifier
        mode = classifier.training
        classifier.train()
        for name, norm in coupling(classifier):
            _require_trains(classifier, name)
            parent, _, attribute = name.rpartition(".")
            setattr(classifier.get_submodule(parent), attribute, Regrouped(name, norm))
        return classifier.train(mode)

    def learner(self, learner: Learner, defenses: Sequence[Defense]) -> Learner:
        """Training on clipped and noisy gradients, in full precision.

        Raises:
            PluginError: If the stack, the recipe or a module does not allow gradients of single pictures, delta is too
                large, or no noise is enough for the budget.
        """
        if not self._acts:
            return learner
        _require_stack(defenses)
        _require_recipe(learner)
        _require_order(learner.classifier.train())
        return _private(learner, self)

    def ladder(self, classifier: Classifier) -> Sequence[DPSGD]:  # noqa: ARG002
        """Epsilon from 50 down to 1."""
        return [dataclasses.replace(self, epsilon=e, noise_multiplier=None) for e in (50.0, 20.0, 8.0, 3.0, 1.0)]

    def at_zero(self) -> DPSGD:
        """The same with an infinite budget, which is plain training."""
        return dataclasses.replace(self, epsilon="inf", noise_multiplier=None)

    def delta_of(self, pictures: int) -> float:
        """Delta for a number of training pictures.

        Raises:
            PluginError: If the setting is so large that giving one picture away would be allowed.
        """
        delta = pictures**-1.1 if self.delta is None else self.delta
        if self.delta is not None and delta >= 1 / pictures:
            raise PluginError(
                f"dp_sgd with delta = {delta:g} and {pictures} training pictures: that allows giving one of them away",
                f"below {1 / pictures:.3g}, one in {pictures}",
                "lower delta, or leave it out for 1 / N^1.1",
            )
        return delta

    @property
    def _acts(self) -> bool:
        return self.epsilon not in ("inf", math.inf)


class Regrouped(nn.Sequential):
    """A GroupNorm in the place of a batch norm, with its affine weights, and what the batch norm applied besides.

    Args:
        name: Of the batch norm in the classifier.
        old: The batch norm.

    Raises:
        PluginError: If it is not of a known kind.
    """

    def __init__(self, name: str, old: _BatchNorm) -> None:
        super().__init__()
        kind = f"{type(old).__module__}.{type(old).__qualname__}"
        if type(old) not in BATCH_NORMS and kind != WITH_ACTIVATION:
            raise PluginError(
                f"dp_sgd cannot make a GroupNorm of {name}, a {kind}",
                f"one of {', '.join(cls.__name__ for cls in BATCH_NORMS)}, BatchNormAct2d",
                "choose another model",
            )
        self.norm = nn.GroupNorm(groups(old.num_features), old.num_features, old.eps, old.affine)
        if old.affine:
            self.norm.weight, self.norm.bias = old.weight, old.bias
        if kind == WITH_ACTIVATION:
            self.drop, self.act = old.get_submodule("drop"), old.get_submodule("act")


def groups(channels: int) -> int:
    """As many groups as divide the channels evenly: at most 32, and none of fewer than four channels.

    Opacus' own fixer has groups of one channel wherever there are 32 channels or fewer; at a place where a picture has
    become one pixel, such a group is always zero.

    Example:
        >>> [groups(channels) for channels in (512, 64, 24, 6)]
        [32, 16, 6, 1]
    """
    return next(g for g in range(max(1, min(MOST_GROUPS, channels // LEAST_CHANNELS)), 0, -1) if channels % g == 0)


def coupling(classifier: Classifier) -> Iterator[tuple[str, _BatchNorm]]:
    """Names and modules of the batch norms that normalise with the batch; the classifier is in training mode."""
    for name, module in list(classifier.named_modules()):
        if isinstance(module, _BatchNorm) and module.training:
            yield name, module


def _require_trains(classifier: Classifier, name: str) -> None:
    """Refuses a batch norm that is frozen but for its statistics: it couples pictures, and nothing could adapt."""
    stage = ".".join(name.split(".")[:2])
    if name.startswith("stages.") and not any(p.requires_grad for p in classifier.get_submodule(stage).parameters()):
        raise PluginError(
            f"dp_sgd: {name} is in a frozen stage, yet its statistics follow the private pictures",
            "frozen stages that are a fixed function",
            "set statistics = true in tl_dmi",
        )


def _require_order(classifier: Classifier) -> None:
    """Refuses norms that were changed here and frozen later, and those that came after this defense."""
    for name, module in classifier.named_modules():
        frozen = isinstance(module, Regrouped) and not all(p.requires_grad for p in module.parameters())
        if frozen or (isinstance(module, Regrouped) and not module.training):
            raise PluginError(
                f"dp_sgd made a GroupNorm of {name}, and a defense after it froze it: its stage is no longer what was "
                "pre-trained, and cannot adapt",
                "frozen stages as they were pre-trained",
                "name tl_dmi before dp_sgd",
            )
    for name, module in coupling(classifier):
        raise PluginError(
            f"dp_sgd: {name}, a {type(module).__name__}, couples the pictures of a batch, and came after dp_sgd",
            "no batch norm in what trains",
            "name dp_sgd last",
        )


def _require_stack(defenses: Sequence[Defense]) -> None:
    acting = [type(d) for d in defenses if d != d.at_zero()]
    for cls in acting:
        changes = cls.loss is not Defense.loss or cls.augment is not Defense.augment
        if changes and not cls.per_sample:
            raise PluginError(
                f"dp_sgd with {cls.__name__}: its loss or augmentation couples the pictures of a batch, so that no "
                "picture has a gradient of its own to clip, and no epsilon could be accounted",
                "defenses that treat each picture by itself (per_sample)",
                f"drop {cls.__name__}, or dp_sgd",
            )
    own = [cls.__name__ for cls in acting if cls.learner is not Defense.learner]
    if len(own) > 1:
        raise PluginError(
            f"{' and '.join(own)} in one stack: each learns in a way of its own", "one of them", "drop the others"
        )


def _require_recipe(learner: Learner) -> None:
    recipe = learner.recipe
    if recipe.balance or recipe.people is not None:
        said = "balance = true" if recipe.balance else f"people = {recipe.people}"
        raise PluginError(
            f"dp_sgd with {said} in the recipe: pictures of small classes would be drawn more often than the "
            "accountant knows",
            "each picture with the same probability",
            "set balance = false" if recipe.balance else "drop people and each",
        )
    if learner.recipe.grad_clip is not None:
        raise PluginError(
            f"dp_sgd with grad_clip = {learner.recipe.grad_clip} in the recipe: gradients are clipped already",
            "clipping once, of each picture's gradient",
            "drop grad_clip, and set max_grad_norm of dp_sgd",
        )


def _private(learner: Learner, settings: DPSGD) -> PrivateLearner:
    handlers = logging.root.handlers[:]
    from unveil.defenses import private_learner as private  # noqa: PLC0415 (Opacus takes seconds to load)

    logging.root.handlers[:] = handlers  # Opacus installs one of its own
    delta, noise = settings.delta_of(len(learner.labels)), settings.noise_multiplier
    if noise is None:
        steps = private.steps_per_epoch(learner)
        budget, in_all = float(settings.epsilon), learner.recipe.epochs * steps
        noise = private.noise_for(budget, 1 / steps, in_all, delta, settings.accountant)
    return private.PrivateLearner(
        learner,
        noise_multiplier=noise,
        delta=delta,
        max_grad_norm=settings.max_grad_norm,
        accountant=settings.accountant,
    )
