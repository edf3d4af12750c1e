"""KEDMI: recover a distribution of latents per identity (Chen et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks.adam import adam
from unveil.attacks.drawing import show
from unveil.attacks.frozen import require_realism
from unveil.attacks.losses import IdentityLoss
from unveil.attacks.numbers import normal
from unveil.attacks.search import ByLatents, Descent, Identity, Key, Objective, State, labels_of, search
from unveil.harness.types import Generator, Images, Run, Spec, View, draw_normal


@dataclass(frozen=True)
class KEDMI(ByLatents):
    """KEDMI: fits a Gaussian over a GAN's latents to each identity, then draws reconstructions from it.

    Attributes:
        prior: The generator whose latents are searched.
        draws: Reconstructions per identity, drawn from its Gaussian.
        steps: Steps of Adam; 2400 as published (BiDO uses 5000, TL-DMI 3000).
        lr: Learning rate of Adam on mean and log-variance.
        log_variance_init: First log-variance; 1 in KEDMI's, LOMMA's and PLG-MI's scripts, 0 in BiDO's and TL-DMI's.
        clamp: Whether latents are kept in [-1, 1], in the fit and in the draws, as LOMMA and TL-DMI do; KEDMI's own
            clamp has no effect.
        identity: Identity loss; cross-entropy in the paper.
        identity_weight: Weight of the identity loss against realism.
        batch: Identities in memory at once; changes no result beyond rounding (except with a coupled prior).
    """

    prior: Spec = field(default=Spec("inversion_gan"))
    draws: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 2400
    lr: Annotated[float, Field(gt=0)] = 0.02
    log_variance_init: float = 1.0
    clamp: bool = False
    identity: IdentityLoss = "cross_entropy"
    identity_weight: Annotated[float, Field(ge=0)] = 100.0
    batch: Annotated[int, Field(ge=1)] = 300

    paper: ClassVar[str] = "Chen et al., Knowledge-Enriched Distributional Model Inversion Attacks, ICCV 2021"

    @property
    def passes(self) -> int:
        """Pictures of one person in each step: one draw."""
        return 1

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior that does not say how real a picture looks; see `harness.types.Demanding`."""
        require_realism(prior, shape)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Gives ``draws`` pictures of each label, found by descending that identity loss."""
        objective = Objective(prior, identity, self.identity_weight, run)
        keys = [(int(y),) for y in labels]
        noise = normal(run, "noise", prior.latent)

        def start(keys: Sequence[Key]) -> State:
            p = torch.zeros(len(keys), 2, prior.latent, device=run.device)  # mean μ, log-variance ℓ
            p[:, 1] = self.log_variance_init
            return {"p": p, "m": torch.zeros_like(p), "s": torch.zeros_like(p), "y": labels_of(keys, run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            p = state["p"].requires_grad_(True)
            loss, identity = objective.at(keys, t)(self.draw(p, noise.at(keys, t)), state["y"])
            (g,) = torch.autograd.grad(loss.sum(), p)
            state["p"], state["m"], state["s"] = adam(p.detach(), g, state["m"], state["s"], t, self.lr)
            return identity

        def pictures(state: State) -> Tensor:
            return prior.synthesize(self.draw(state["p"], torch.zeros_like(state["p"][:, 0])))

        fitted = search(view, run, "kedmi", keys, self.steps, self.batch, Descent(start, step, pictures))["p"]
        shown = [(y, s) for (y,) in keys for s in range(self.draws)]
        e = draw_normal(run.generators("draw", shown), (prior.latent,))
        return show(prior, self.draw(fitted.repeat_interleave(self.draws, 0), e), shown, run, self.batch)

    def draw(self, p: Tensor, e: Tensor) -> Tensor:
        """Latents ``z = μ + exp(ℓ/2) ε``: parameters ``(N, 2, latent)`` and noise to ``(N, latent)``."""
        z = p[:, 0] + (p[:, 1] / 2).exp() * e
        return z.clamp(-1, 1) if self.clamp else z
