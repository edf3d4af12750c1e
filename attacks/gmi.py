"""GMI: descend the latents of a GAN with momentum (Zhang et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks.drawing import show
from unveil.attacks.frozen import require_realism
from unveil.attacks.losses import IdentityLoss
from unveil.attacks.search import ByLatents, Descent, Identity, Key, Objective, State, labels_of, search
from unveil.harness.types import Generator, Images, Run, Spec, View


@dataclass(frozen=True)
class GMI(ByLatents):
    """GMI: finds latents of a GAN that the target recognises, by gradient descent with Nesterov-like momentum.

    The released code descends the mean loss of 60 images, so that its step depends on its batch. Here each image
    descends its own loss over ``batch_equivalent``: the published step, whatever is attacked together. All restarts
    are returned; none is selected.

    Attributes:
        prior: The generator whose latents are searched.
        restarts: Reconstructions per identity, each from its own start.
        steps: Steps of descent; 1500 in GMI's own script, 2400 in most later work.
        lr: Step size.
        momentum: Momentum.
        identity: Identity loss; cross-entropy in the paper.
        identity_weight: Weight of the identity loss against the critic's score.
        clip: Latents are kept within this of zero, coordinate by coordinate.
        batch_equivalent: Each image's gradient is divided by this; 60 as published.
        batch: Images in memory at once; changes no result beyond rounding.
    """

    prior: Spec = field(default=Spec("wgan_gp"))
    restarts: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 2400
    lr: Annotated[float, Field(gt=0)] = 0.02
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    identity: IdentityLoss = "cross_entropy"
    identity_weight: Annotated[float, Field(ge=0)] = 100.0
    clip: Annotated[float, Field(gt=0)] = 1.0
    batch_equivalent: Annotated[int, Field(ge=1)] = 60
    batch: Annotated[int, Field(ge=1)] = 300

    paper: ClassVar[str] = "Zhang et al., The Secret Revealer: Generative Model-Inversion Attacks, CVPR 2020"

    @property
    def passes(self) -> int:
        """Pictures of one person in each step."""
        return self.restarts

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior that does not say how real a picture looks; see `harness.types.Demanding`."""
        require_realism(prior, shape)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Gives ``restarts`` pictures of each label, found by descending that identity loss."""
        objective = Objective(prior, identity, self.identity_weight, run)
        keys = [(int(y), r) for y in labels for r in range(self.restarts)]

        def start(keys: Sequence[Key]) -> State:
            z = prior.sample(run.generators("z", keys)).to(run.device)
            return {"z": z, "v": torch.zeros_like(z), "y": labels_of(keys, run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            z = state["z"].requires_grad_(True)
            loss, identity = objective.at(keys, t)(z, state["y"])
            (g,) = torch.autograd.grad(loss.sum() / self.batch_equivalent, z)
            state["z"], state["v"] = self.move(z.detach(), state["v"], g)
            return identity

        def pictures(state: State) -> Tensor:
            return prior.synthesize(state["z"])

        last = search(view, run, "gmi", keys, self.steps, self.batch, Descent(start, step, pictures))
        return show(prior, last["z"], keys, run, self.batch)

    def move(self, z: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """One update of latents z and velocity v by gradient g; the first one moves z by ``-(1 + μ) η g``."""
        v_new = self.momentum * v - self.lr * g
        z = z - self.momentum * v + (1 + self.momentum) * v_new
        return z.clamp(-self.clip, self.clip), v_new
