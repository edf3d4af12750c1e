"""PPDG-MI: tune a copy of the prior on what an attack has found, then attack again (Peng et al., NeurIPS 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford, augment
from unveil.attacks.around import AroundBase
from unveil.attacks.frozen import require_realism
from unveil.attacks.pivots import Pull, PullLessons, require_weights
from unveil.attacks.priors.retuning import TAUGHT, Asked, Lessons, Retraining
from unveil.attacks.pseudo_private import Choice
from unveil.attacks.second_round import SecondRound
from unveil.attacks.selection import VIEWS
from unveil.harness.plan import plugins
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import (
    NEEDED,
    Access,
    Budget,
    Generator,
    GivenModel,
    Images,
    Ingredients,
    LocalSpec,
    Need,
    Run,
    Spec,
    TrainedPrior,
    View,
    WrappedAttack,
)
from unveil.harness.words import crops
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.needs import PRIOR, needs_of
from unveil.harness.words.spec import HeldAttack

Variant: TypeAlias = Literal["gan", "pw", "ct", "mmd"]
PREPARING = 2  # one over the share of a person's budget that selection and tuning may take
TOO_LITTLE = "its budget left too little for a second round, so that its pictures are those of the first"


@dataclass(frozen=True)
class PPDGMI(AroundBase):
    """PPDG-MI: tunes a copy of the prior to the pictures that another attack has found, and lets it attack once more.

    For each person by itself: of the first round's pictures those that the target knows best from many sides are taken
    for private ones, a private copy of the prior is tuned to draw such pictures more often, and the same attack
    searches the copy. The prior itself, which others share, stays as it is. All pictures of the second round are
    returned.

    The first round is the attack ``base`` as it would run by itself: if the plan has that attack, too, it is run once
    for both. What it asks counts for the budget; under a limit give it no more than half of it.

    Departures: the released low-resolution scripts cannot run as they are, so this follows their parts and the paper.
    Distances are taken in pixels, or in the features of a network that the plan names.

    Attributes:
        base: The attack, with its settings; any that searches a prior. Its access is this one's.
        variant: How the copy is tuned. ``"gan"``: by the prior's own training, with the person's pictures among the
            public ones; for ``wgan_gp``, ``inversion_gan`` and ``conditional_gan``. ``"pw"``, ``"ct"`` or ``"mmd"``:
            towards the person's pictures, one by one, by conditional transport, or by maximum mean discrepancy.
        pseudo_private: Pictures of each person that are taken for private ones, at most; published: 500 of 1000
            (GANs), 50 of 200 (PLG-MI), 5 (pw) or 10 (ct, mmd) of 100.
        views: Random views that they are chosen by, one query each.
        tune_steps: Steps of tuning; 0 leaves the copy as it is, and chooses nothing. Published: 10 epochs, which are
            4,766 steps of 64 in 30,500 pictures (GANs), 1000 (PLG-MI), 150 (pw, mmd) or 25 (ct).
        tune_lr: Learning rate of tuning; 2e-4 for GANs, 3e-4 for distances.
        share: Share of the real pictures in each batch of ``"gan"`` that are the person's; 0 as published: they are
            mixed in, and 500 among 30,000 are rare.
        pivot_steps: Steps that look for latents near the person's pictures, for distances; 300 (pw), 150 (ct) or 100
            (mmd) as published.
        realism: Weight of the critic's doubt while they are looked for; 0 for a prior without a critic.
        features: A model whose features distances are taken in, such as ImageNet's; it must bring trained weights, and
            be no judge. None for pixels.
        batch: Pictures in memory at once while they are chosen.
    """

    base: HeldAttack = field(default=Spec("gmi"))
    variant: Variant = "gan"
    pseudo_private: Annotated[int, Field(ge=1)] = 500
    views: Annotated[int, Field(ge=1)] = 10
    tune_steps: Annotated[int, Field(ge=0)] = 4766
    tune_lr: Annotated[float, Field(gt=0)] = 2e-4
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    pivot_steps: Annotated[int, Field(ge=1)] = 300
    realism: Annotated[float, Field(ge=0)] = 0.1
    features: LocalSpec | None = None
    batch: Annotated[int, Field(ge=1)] = 200

    paper: ClassVar[str] = "Peng et al., Pseudo-Private Data Guided Model Inversion Attacks, NeurIPS 2024"

    def __post_init__(self) -> None:
        prior = self._prior()
        own = prior.use in plugins.registered("priors")
        if self.variant == "gan" and not (own and plugins.load("priors", prior.use, Path()) in TAUGHT):
            raise PluginError(
                f'ppdg_mi with variant = "gan" on {prior.use}, the prior of {self.base.use}',
                "wgan_gp, inversion_gan or conditional_gan, whose training it goes on with",
                'set variant to "pw", "ct" or "mmd", or give base another prior',
            )

    @property
    def access(self) -> Access:
        """That of the base."""
        found: Access = self.attack().access
        return found

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that change nothing beside the others: GANs are tuned without looking for latents first."""
        if not self.tune_steps:
            return "views", "pivot_steps"
        return ("pivot_steps",) if self.variant == "gan" else ()

    def content(self) -> Mapping[str, str]:
        """Nothing is read; the base and the eyes are needs."""
        return {"base": NEEDED, "features": NEEDED}

    def needs(self) -> Mapping[str, Need]:
        """The base, which has been run, its prior, and eyes if distances are taken in features."""
        eyes = {} if self.features is None else {"features": GivenModel(self.features, trained=True)}
        return {PRIOR: TrainedPrior(self._prior()), "base": WrappedAttack(self.base), **eyes}

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior that cannot serve its base, or cannot be tuned; see `harness.types.Demanding`."""
        super().require_prior(prior, shape)
        if self.variant != "gan" and self.tune_steps:
            require_weights(prior)
            if self.realism:
                require_realism(prior, shape)

    def attack(self) -> Any:
        """The base, as its settings make it.

        Raises:
            PluginError: If it cannot be made.
        """
        return plugin_settings.make("attacks", self.base, Path())

    def _prior(self) -> Spec:
        wanted = needs_of(self.attack()).get(PRIOR)
        if not isinstance(wanted, TrainedPrior) or plugins.role(self.attack()) or self.base.use == "ppdg_mi":
            raise PluginError(
                f"{self.base.use} cannot be the base of ppdg_mi",
                "an attack that searches a prior, and neither a control nor ppdg_mi itself",
                "choose another base, such as gmi or ppa",
            )
        return wanted.prior

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives as many pictures of each label as the base; see `harness.types.Attack.reconstruct`.

        Raises:
            UnveilError: If there is no prior.
        """
        first, prior = ingredients.given.attacks["base"], ingredients.prior
        if prior is None:
            raise UnveilError("ppdg_mi was given no prior", "the trained generator that its base searches")
        lessons = self.lessons(ingredients)
        most = max(int((first.images.labels == int(y)).sum()) for y in labels)
        asked = lessons.asks(min(most, self.pseudo_private)) if self.tune_steps else Asked()
        each = share_of(view.budget, asked.once, len(labels))
        attack = self.within(each, most, asked)
        if attack is None:
            run.note(TOO_LITTLE)
            return first.images[torch.cat([(first.images.labels == int(y)).nonzero()[:, 0] for y in labels])]
        afford.tell(self, attack, run)
        if attack.tune_steps:
            lessons.begin(view, run)
        again = SecondRound(attack, first, prior, lessons, each, view, run)
        return again.of_all(labels)

    def within(self, each: Budget, candidates: int, asked: Asked) -> Self | None:
        """The same with views and steps cut, where what a person has left does not reach; None if for no second round.

        Args:
            each: What is left for a person.
            candidates: Pictures of a person to choose from.
            asked: What tuning asks.
        """
        if 0 in (each.queries, each.gradients):
            return None
        if not self.tune_steps or each == Budget():
            return self
        queries, gradients = (None if most is None else most // PREPARING for most in (each.queries, each.gradients))
        views, steps = self.views, self.tune_steps
        if queries is not None:
            queries -= asked.person
            if queries < candidates:
                return None
            factor = min(1.0, queries / (candidates * views + asked.step * steps))
            views, steps = max(1, int(views * factor)), int(steps * factor) if asked.step else steps
            steps = min(steps, (queries - candidates * views) // asked.step) if asked.step else steps
        if gradients is not None and asked.step:
            steps = min(steps, gradients // asked.step)
        return replace(self, views=views, tune_steps=steps)

    def lessons(self, ingredients: Ingredients) -> Lessons:
        """How copies of the prior are tuned."""
        if self.variant == "gan":
            prior = plugin_settings.make("priors", self._prior(), Path())
            return TAUGHT[type(prior)](prior, ingredients.public, Retraining(self.tune_lr, self.share))
        eyes = None if self.features is None else ingredients.given.models["features"]
        return PullLessons(Pull(self.variant, self.pivot_steps, self.tune_lr, self.realism, eyes))

    def choice(self) -> Choice:
        """How pictures are chosen: by PLG-MI's views with GANs, else by PPA's."""
        by_plg = self.variant == "gan"
        look, numbers = (augment.published(1.0), augment.NUMBERS) if by_plg else (VIEWS, crops.NUMBERS)
        return Choice(look, numbers, self.views, self.pseudo_private, self.batch)


def share_of(budget: Budget, once: int, people: int) -> Budget:
    """What one of several people may have of a budget that something is taken from first."""
    queries = budget.total("queries")
    gradients = budget.total("gradients")
    return Budget(
        None if queries is None else max(0, queries - once) // people,
        None if gradients is None else gradients // people,
    )
