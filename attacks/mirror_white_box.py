"""MIRROR with gradients: descends styles inside their usual range (An et al., NDSS 2022)."""

from __future__ import annotations

import math
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
from unveil.attacks.pspace import Box, presampled, truncating
from unveil.attacks.search import Descent, Identity, Key, State, at, labels_of, search, seen_by
from unveil.attacks.selection import best, best_of_each, robustness
from unveil.attacks.wspace import WSpace, scored
from unveil.harness.types import Budget, Generator, Images, Ingredients, Run, Spec, View
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import LATER

IDENTITY: IdentityLoss = "cross_entropy"
WEIGHT = 10.0  # of the cross-entropy, as published; the only term, so that Adam hardly notices


@dataclass(frozen=True)
class MirrorWhiteBox(Staged):
    """MIRROR, white box: descends the styles a target is most confident on, clipped to where styles usually are.

    Each restart keeps the style of its lowest loss. Of these, the ``samples`` are returned that the target labels
    rightly under most random views (PPA's; the paper's perturbations are not known), ties by mean score. Presamples
    are scored as they are searched: one style for all layers, moved into the box. A prior without styles (any GAN) is
    searched in its latents, without truncation, and P-space is the latent space then.

    Attributes:
        prior: The generator whose styles are searched.
        presamples: Random styles that are scored first, once for all identities; 100000 as published.
        restarts: Best presamples of each identity that are descended; 8 as published.
        samples: Pictures per identity that are returned; 1 as published. If it equals ``restarts``, all are, and no
            views are spent.
        steps: Steps of descent.
        lr: Highest learning rate of Adam with betas (.9, .999); .25 in the paper, .2 in the released code. It rises
            over the first 5 % of the steps and falls over the last 25 %.
        views: Random views that decide which restarts are returned.
        psi: Truncation of presamples: 1 is none, 0 their mean.
        radius: Half the side of the box that styles stay in, in standard deviations of P-space.
        batch: Images in memory at once; changes no result beyond rounding. Of large pictures fewer are made at a time.
        psi_in_synthesis: Whether presamples and their box are of untruncated styles, and a picture is made of
            truncated ones, on the first 8 layers, as released. Without styles there is no truncation.
    """

    prior: Spec = field(default=Spec("style_gan"))
    presamples: Annotated[int, Field(ge=2)] = 100_000
    restarts: Annotated[int, Field(ge=1)] = 8
    samples: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 20_000
    lr: Annotated[float, Field(gt=0)] = 0.25
    views: Annotated[int, Field(ge=1)] = 100
    psi: Annotated[float, Field(ge=0, le=1)] = 0.7
    radius: Annotated[float, Field(gt=0)] = 1.0
    batch: Annotated[int, Field(ge=1)] = 200
    psi_in_synthesis: Annotated[bool, LATER] = False

    paper: ClassVar[str] = "An et al., MIRROR: Model Inversion for Deep Learning Network with High Fidelity, NDSS 2022"
    draws_in_full: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.samples <= self.restarts <= self.presamples:
            raise PluginError(
                f"mirror_white_box with presamples = {self.presamples}, restarts = {self.restarts} "
                f"and samples = {self.samples}",
                "each no more than the one before",
                "raise presamples, or lower the others",
            )

    def within(self, budget: Budget, identities: int) -> Self:
        """The same with presamples, steps and views cut by one factor, where the budget does not reach."""
        views = self.views if self.samples < self.restarts else 0
        share = afford.share(budget, self.presamples + identities * self.restarts * (self.steps + views))
        return replace(
            self,
            presamples=max(2, self.restarts, int(self.presamples * share)),
            steps=afford.steps(budget, identities * self.restarts, max(1, int(self.steps * share))),
            views=max(1, int(self.views * share)),
        )

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that change nothing beside the others: where none is left out, the views that would decide."""
        return () if self.samples < self.restarts else ("views",)

    @property
    def passes(self) -> int:
        """Pictures of one person in each step."""
        return self.restarts

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior without a mean style where synthesis truncates; see `harness.types.Demanding`."""
        truncating(prior, shape, self.psi, late=self.psi_in_synthesis)

    def attack(self, view: View, prior: Generator, labels: Tensor, run: Run) -> Images:
        """Scores, descends and selects the most robust, which come first."""
        return self.descend(view, prior, seen_by(view, IDENTITY), labels, run)

    def seen(self, view: View, ingredients: Ingredients, run: Run) -> Identity:  # noqa: ARG002
        """What it descends by itself."""
        return seen_by(view, IDENTITY)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Scores, descends that identity loss and selects."""
        space, psi = truncating(prior, view.shape, self.psi, late=self.psi_in_synthesis)
        batch = space.at_once(self.batch)
        p, box = presampled(space, prior, run, self.presamples, psi, self.radius)
        score = scored(view, run, "mirror presamples", space, space.from_p(p), labels, batch, mirror=False)
        chosen = best(score.T, self.restarts).tolist()
        keys = [(y, i) for y, row in zip(labels.tolist(), chosen, strict=True) for i in row]

        descent = self.descent(identity, run, space, box, space.from_p(p))
        found = search(view, run, "mirror", keys, self.steps, batch, descent)["best"]
        kept = torch.arange(len(keys))
        if self.samples < self.restarts:
            seen = robustness(view, run, "mirror views", space, found, keys, self.views, batch)
            rank = seen["share"] + seen["score"] / (2 * self.views)  # ties of the share are broken by the score
            kept = best_of_each(rank, len(labels), self.samples)
        return draw(space.pictures, found[kept], [keys[i] for i in kept.tolist()], run, batch)

    def descent(self, identity: Identity, run: Run, space: WSpace, box: Box, first: Tensor) -> Descent:
        """Descends single styles from ``first`` ``(presamples, w_dim)``, the rows that keys name second."""
        mirrored = uniform(run, "mirrored", 1)

        def start(keys: Sequence[Key]) -> State:
            w = first[[i for _, i in keys]]
            zero = torch.zeros_like(w)
            lowest = torch.full_like(w[:, 0], torch.inf)
            return {"w": w, "m": zero, "s": zero, "best": w.clone(), "lowest": lowest, "y": labels_of(keys, run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            w = state["w"].requires_grad_(True)
            flip = (mirrored.at(keys, t) < 0.5).to(run.device)[:, :, None, None]
            x = space.pictures(w)  # in full precision, as PPA's
            with run.autocast():
                loss = WEIGHT * at(identity, keys, t)(torch.where(flip, x.flip(-1), x), state["y"])
            (g,) = torch.autograd.grad(loss.sum(), w)
            w, loss = w.detach(), loss.detach()
            lower = loss < state["lowest"]
            state["best"] = torch.where(lower[:, None], w, state["best"])
            state["lowest"] = loss.minimum(state["lowest"])
            w, state["m"], state["s"] = adam(w, g, state["m"], state["s"], t, self.lr * ramp(t / self.steps))
            state["w"] = space.from_p(box.clip(space.to_p(w)))
            return loss / WEIGHT

        return Descent(start, step, lambda state: space.pictures(state["best"]))

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends; see `harness.types.Guided`."""
        return IDENTITY_LOSSES[IDENTITY](o, y)


def ramp(t: float) -> float:
    """Learning rate at share t of all steps, as a share of the highest: up for 5 %, down by a cosine for 25 %."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / 0.25))
    return down * min(1.0, t / 0.05)
