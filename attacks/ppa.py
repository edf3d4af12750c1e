"""PPA: a prior trained once, scored, searched and selected for robustness (Struppek et al., ICML 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.adam import adam
from unveil.attacks.afford import Staged
from unveil.attacks.drawing import draw
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.numbers import uniform
from unveil.attacks.search import Descent, Identity, Key, State, at, labels_of, search, seen_by
from unveil.attacks.selection import best, best_of_each, robustness
from unveil.attacks.wspace import WSpace, first_styles, scored
from unveil.harness.types import Budget, Generator, Images, Ingredients, Run, Spec, View
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import LATER

BETAS = (0.1, 0.1)


@dataclass(frozen=True)
class PPA(Staged):
    """PPA: descends the most promising styles of a public prior, keeps what the target knows from every side.

    A pool of styles, the same for every class and every target, is scored; the best of each class are descended; those
    that stay recognised under random crops are returned. As published, the search has one style for all layers, the
    first of the scored picture, so that it starts from a somewhat different one. A prior without styles (any GAN) is
    searched in its latents instead, without truncation.

    Departures: each sample draws its own crops, and the target sees pictures in [0, 1]. The released code crops the
    whole batch alike, so that its results depend on the batch, and shows the target pictures that are not clipped;
    ``shared_crop = true, unclipped = true, batch = 25`` does as it does. Pictures are kept clipped, with 8 bits, at the
    data's size, and judged so. Synthesis is in full precision, whatever the rest of a step is computed in.

    Attributes:
        prior: The generator whose styles are searched.
        pool: Styles that are scored for all classes at once; 2000 or 5000 as published.
        candidates: Styles per identity that are descended; 200 as published, 16 in later work.
        keep: Pictures per identity that are returned; 50 as published, 8 in later work. If it equals
            ``candidates``, all are, and no views are spent.
        steps: Steps of descent; 50 or 70 as published, 100 for dogs.
        lr: Learning rate of Adam with betas (.1, .1); .01 for dogs.
        milestones: Steps from which the learning rate is a tenth of what it was; none in the paper's own runs,
            30 and 40 in the released default and later work.
        psi: Truncation of the pool's styles: 1 is none, 0 their mean.
        cutoff: How many style vectors, from the coarsest on, are truncated.
        crop: Side of the square that the target sees in the centre of the pictures that the prior gives. None for all.
            The published 800 of 1024 is for ``stylegan2_ada`` to cut, which resizes to the data's size itself:
            ``prior = { use = "stylegan2_ada", crop = 800, ... }``.
        crop_scale: Least and greatest share of the picture that a random crop during descent shows; (.75, 1) for dogs.
        views: Random crops that decide which candidates are kept.
        identity: Identity loss; the Poincaré distance in the paper.
        batch: Images in memory at once; changes no result beyond rounding. Of a prior that draws large ones fewer are
            made at a time, 16 of 1024 pixels, unless the crop is shared.
        shared_crop: Whether all samples of a batch are cropped alike in each step.
        unclipped: Whether descent and final views show the target pictures as they are drawn, around [0, 1].
    """

    prior: Spec = field(default=Spec("style_gan"))
    pool: Annotated[int, Field(ge=1)] = 2000
    candidates: Annotated[int, Field(ge=1)] = 200
    keep: Annotated[int, Field(ge=1)] = 50
    steps: Annotated[int, Field(ge=1)] = 50
    lr: Annotated[float, Field(gt=0)] = 0.005
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = ()
    psi: Annotated[float, Field(ge=0, le=1)] = 0.5
    cutoff: Annotated[int, Field(ge=0)] = 8
    crop: Annotated[int, Field(ge=1)] | None = None
    crop_scale: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.9, 1.0)
    views: Annotated[int, Field(ge=1)] = 100
    identity: IdentityLoss = "poincare"
    batch: Annotated[int, Field(ge=1)] = 200
    shared_crop: Annotated[bool, LATER] = False
    unclipped: Annotated[bool, LATER] = False

    paper: ClassVar[str] = "Struppek et al., Plug & Play Attacks, ICML 2022"
    draws_in_full: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.keep <= self.candidates <= self.pool:
            raise PluginError(
                f"ppa with pool = {self.pool}, candidates = {self.candidates} and keep = {self.keep}",
                "each no more than the one before",
                "raise pool, or lower the others",
            )

    def within(self, budget: Budget, identities: int) -> Self:
        """The same with pool, steps and views cut by one factor, where the budget does not reach."""
        views = self.views if self.keep < self.candidates else 0
        share = afford.share(budget, 2 * self.pool + identities * self.candidates * (self.steps + views))
        return replace(
            self,
            pool=max(self.candidates, int(self.pool * share)),
            steps=afford.steps(budget, identities * self.candidates, max(1, int(self.steps * share))),
            views=max(1, int(self.views * share)),
        )

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that change nothing beside the others: where none is left out, the views that would decide."""
        return () if self.keep < self.candidates else ("views",)

    @property
    def passes(self) -> int:
        """Pictures of one person in each step."""
        return self.candidates

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior that clips its pictures where they are wanted unclipped; see `harness.types.Demanding`."""
        WSpace(prior, shape, unclipped=self.unclipped)

    def attack(self, view: View, prior: Generator, labels: Tensor, run: Run) -> Images:
        """Scores, descends and selects the most robust, which come first."""
        return self.descend(view, prior, seen_by(view, self.identity), labels, run)

    def seen(self, view: View, ingredients: Ingredients, run: Run) -> Identity:  # noqa: ARG002
        """What it descends by itself."""
        return seen_by(view, self.identity)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Scores, descends that identity loss and selects."""
        space = WSpace(prior, view.shape, self.crop)
        shown = WSpace(prior, view.shape, self.crop, unclipped=self.unclipped)
        batch = self.batch if self.shared_crop else space.at_once(self.batch)
        pool = first_styles(space, prior, run, self.pool, self.psi, self.cutoff, single=False)
        score = scored(view, run, "ppa pool", space, pool, labels, batch, mirror=True)
        chosen = best(score.T, self.candidates)
        keys = [(y, i) for y, row in zip(labels.tolist(), chosen.tolist(), strict=True) for i in row]

        last = search(view, run, "ppa", keys, self.steps, batch, self.descent(identity, run, shown, pool[:, 0]))["w"]
        kept = torch.arange(len(keys))
        if self.keep < self.candidates:
            score = robustness(view, run, "ppa views", shown, last, keys, self.views, batch)["score"]
            kept = best_of_each(score, len(labels), self.keep)
        return draw(space.pictures, last[kept], [keys[i] for i in kept.tolist()], run, batch)

    def descent(self, identity: Identity, run: Run, space: WSpace, first: Tensor) -> Descent:
        """Descends single styles from ``first`` ``(pool, w_dim)``, of which a key's second number names the row.

        The paper's loss is a mean over its batch. Adam divides by the gradient's size, so that this factor counts only
        beside its eps of 1e-8: with a batch of 25, as if eps were 2.5e-7 here.
        """
        crop, crops = RandomCrop(self.crop_scale), uniform(run, "crops", NUMBERS)

        def start(keys: Sequence[Key]) -> State:
            w = first[[i for _, i in keys]]
            return {"w": w, "m": torch.zeros_like(w), "s": torch.zeros_like(w), "y": labels_of(keys, run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            w = state["w"].requires_grad_(True)
            u = crops.at(keys[:1], t).expand(len(keys), -1) if self.shared_crop else crops.at(keys, t)
            x = space.pictures(w)  # in full precision, as published: rounded styles would move the search
            with run.autocast():
                loss = at(identity, keys, t)(crop(x, u), state["y"])
            (g,) = torch.autograd.grad(loss.sum(), w)
            lr = self.lr * 0.1 ** sum(t >= milestone for milestone in self.milestones)
            state["w"], state["m"], state["s"] = adam(w.detach(), g, state["m"], state["s"], t, lr, BETAS)
            return loss.detach()

        return Descent(start, step, lambda state: space.pictures(state["w"]))

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends; see `harness.types.Guided`."""
        return IDENTITY_LOSSES[self.identity](o, y)
