"""VMI: fits a distribution of styles to each identity, by flows over a prior's latents (Wang et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.afford import Staged
from unveil.attacks.drawing import draw
from unveil.attacks.flows import Flows
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.search import Descent, Identity, Key, State, at, labels_of, search, seen_by
from unveil.attacks.wspace import Styled, WSpace
from unveil.harness.types import Budget, Generator, Images, Ingredients, Run, Spec, View, draw_normal


@dataclass(frozen=True)
class VMI(Staged):
    """VMI: fits a flow for each style layer to an identity, close to the prior's latents, and draws from them.

    What is descended is the identity loss of pictures that are drawn, plus the divergence of each layer's latents from
    normal ones, estimated on draws of its own. All layers are fed the same normal vector, so that they depend on each
    other, while the divergence is the mean of each layer's alone; ``independent`` feeds each its own, and the mean is
    that of the joint distribution then. A prior without styles (any GAN) has one layer, its latents.

    Departures: flows begin as shuffles, the same for all layers, so that the first pictures are samples of the prior;
    as released, each layer shuffles by itself, and scales are set on 100 normal draws. The flow is drawn from as it was
    fitted; the released script builds a deeper one.

    Attributes:
        prior: The generator whose latents are searched.
        samples: Pictures per identity, drawn from its flows; 100 as published.
        steps: Steps of descent. 3120 are 20 passes of 156, whose flow the released code takes; it goes on to 31.
        step_batch: Pictures of an identity that each step draws.
        lr: Learning rate of SGD.
        momentum: Its momentum.
        divergence_weight: Weight of the divergence.
        flow_steps: Steps of each flow.
        flow_width: Width of the two hidden layers of each.
        layers: Style layers that have a flow, the first ones; the others draw from the prior. All if None.
        independent: Whether each layer is fed a normal vector of its own.
        identity: Identity loss; cross-entropy in the paper.
        batch: Images in memory at once; changes no result beyond rounding.
    """

    prior: Spec = field(default=Spec("style_gan"))
    samples: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 3120
    step_batch: Annotated[int, Field(ge=1)] = 64
    lr: Annotated[float, Field(gt=0)] = 1e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    divergence_weight: Annotated[float, Field(ge=0)] = 1e-3
    flow_steps: Annotated[int, Field(ge=1)] = 10
    flow_width: Annotated[int, Field(ge=1)] = 100
    layers: Annotated[int, Field(ge=1)] | None = None
    independent: bool = False
    identity: IdentityLoss = "cross_entropy"
    batch: Annotated[int, Field(ge=1)] = 256

    paper: ClassVar[str] = "Wang et al., Variational Model Inversion Attacks, NeurIPS 2021, arXiv:2201.10787"
    draws_in_full: ClassVar[bool] = True

    def within(self, budget: Budget, identities: int) -> Self:
        """The same with fewer steps, where the budget does not reach."""
        share = afford.share(budget, identities * self.step_batch * self.steps)
        steps = afford.steps(budget, identities * self.step_batch, max(1, int(self.steps * share)))
        return replace(self, steps=steps)

    @property
    def passes(self) -> int:
        """Pictures of one person in each step."""
        return self.step_batch

    def attack(self, view: View, prior: Generator, labels: Tensor, run: Run) -> Images:
        """Fits and draws, whatever that costs."""
        return self.descend(view, prior, seen_by(view, self.identity), labels, run)

    def seen(self, view: View, ingredients: Ingredients, run: Run) -> Identity:  # noqa: ARG002
        """What it descends by itself."""
        return seen_by(view, self.identity)

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends; see `harness.types.Guided`."""
        return IDENTITY_LOSSES[self.identity](o, y)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Gives ``samples`` pictures of each label, from flows that descend that identity loss."""
        fit = Fit(self, view, prior, identity, run)
        keys: list[Key] = [(int(y),) for y in labels]
        together = max(1, fit.at_once // self.step_batch)
        descent = Descent(fit.start, fit.step, fit.middle)
        u = search(view, run, "vmi", keys, self.steps, together, descent)["u"]
        shown = [(*key, s) for key in keys for s in range(self.samples)]
        return draw(fit.pictures, u.flatten(0, 1), shown, run, fit.at_once)


class Fit:
    """Flows of identities while they are fitted.

    Args:
        attack: Settings.
        view: The target.
        prior: Whose latents flows draw.
        identity: What is descended.
        run: Randomness, precision.

    Attributes:
        at_once: How many pictures to make at a time.
    """

    def __init__(self, attack: VMI, view: View, prior: Generator, identity: Identity, run: Run) -> None:
        self.attack, self.identity, self.run = attack, identity, run
        self.space, self.latent = WSpace(prior, view.shape), prior.latent
        self.layers = prior.num_ws if isinstance(prior, Styled) else 1
        driven = min(attack.layers or self.layers, self.layers)
        shuffles = [
            torch.randperm(self.latent, generator=run.generator("shuffle", k)) for k in range(attack.flow_steps)
        ]
        self.flows = Flows(self.latent, driven, attack.flow_width, torch.stack(shuffles).to(run.device))
        self.at_once = self.space.at_once(attack.batch)

    def start(self, keys: Sequence[Key]) -> State:
        """Flows that only shuffle, and what they draw."""
        p = self.flows.first(self.run, keys).to(self.run.device)
        return {"p": p, "v": torch.zeros_like(p), "u": self.drawn(p, keys)}

    def step(self, keys: Sequence[Key], state: State, t: int) -> Tensor:
        """One step of SGD on ``E[L(G(u), y)] + λ KL``, with both means over draws of this step."""
        a, p = self.attack, state["p"].requires_grad_(True)
        generators = self.run.generators("noise", [(*key, t) for key in keys])
        fed, others = self.noise(generators, a.step_batch)
        fresh, _ = self.noise(generators, a.step_batch)
        u = torch.cat([self.flows.draw(p, fed), others], 2)
        identity, slope = self.slope(u.detach(), keys, t)
        loss = (u * slope).sum() + a.divergence_weight * self.flows.divergence(p, fresh).sum()
        (g,) = torch.autograd.grad(loss, p)
        state["v"] = a.momentum * state["v"] + g
        state["p"] = p.detach() - a.lr * state["v"]
        if t == a.steps - 1:
            state["u"] = self.drawn(state["p"], keys)
            del state["p"], state["v"]  # large, and of no more use
        return identity

    def slope(self, u: Tensor, keys: Sequence[Key], t: int) -> tuple[Tensor, Tensor]:
        """The mean identity loss of latents ``(K, B, layers, latent)`` for each sample ``(K,)``, and its gradient."""
        count, rows = u.shape[1], u.flatten(0, 1)
        each = [(*key, i) for key in keys for i in range(count)]
        losses, slopes = [], []
        for start in range(0, len(rows), self.at_once):
            part, some = rows[start : start + self.at_once].requires_grad_(True), each[start : start + self.at_once]
            x = self.pictures(part)  # in full precision, as PPA's
            with self.run.autocast():
                loss = at(self.identity, some, t)(x, labels_of(some, self.run))
            slopes.append(torch.autograd.grad(loss.sum(), part)[0])
            losses.append(loss.detach())
        return torch.cat(losses).view(-1, count).mean(1), torch.cat(slopes).view_as(u) / count

    def noise(self, generators: Sequence[torch.Generator], count: int) -> tuple[Tensor, Tensor]:
        """What flows are fed ``(K, count, flows, latent)``, and the latents of layers without one, alike."""
        own, rest = self.flows.layers if self.attack.independent else 1, self.layers - self.flows.layers
        z, others = draw_normal(generators, (count, own + rest, self.latent)).split([own, rest], 2)
        fed = z.double().to(self.run.device).expand(-1, -1, self.flows.layers, -1)
        return fed, others.double().to(self.run.device)

    @torch.no_grad()
    def drawn(self, p: Tensor, keys: Sequence[Key]) -> Tensor:
        """What is returned with such weights ``(K, samples, layers, latent)``."""
        shown = [(*key, s) for key in keys for s in range(self.attack.samples)]
        fed, others = (
            each[:, 0].unflatten(0, (len(keys), self.attack.samples))
            for each in self.noise(self.run.generators("draw", shown), 1)
        )
        return torch.cat([self.flows.draw(p, fed), others], 2)

    def middle(self, state: State) -> Tensor:
        """Pictures of what flows make of zero."""
        p = state["p"]
        u = self.flows.draw(p, p.new_zeros(len(p), 1, self.flows.layers, self.latent))[:, 0]
        return self.pictures(torch.cat([u, u.new_zeros(len(p), self.layers - u.shape[1], self.latent)], 1))

    def pictures(self, u: Tensor) -> Tensor:
        """Latents ``(N, layers, latent)``, one for each style layer, to pixels as the target takes them."""
        w = self.space.map(u.flatten(0, 1).float(), 1.0, None)[:, 0]
        return self.space.pictures(w.unflatten(0, u.shape[:2]))
