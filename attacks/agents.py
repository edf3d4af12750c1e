"""Soft actor-critic where every episode is one step long: agents that learn which action is rewarded in which state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.attacks.adam import adam
from unveil.attacks.perceptrons import Perceptrons
from unveil.attacks.search import State

LOG_STD = (-20.0, 2.0)  # where the logarithm of a policy's spread is kept
LEARNT = ("actor", "critic", "temperature")


@dataclass(frozen=True)
class Agents:
    """Agents of one shape, one for each sample: a policy, its critic, and the temperature of its entropy.

    Nothing follows an action, so that the critic learns the reward itself: a discount, a target network and a second
    critic, of which the published actor uses the first, would change nothing.

    Attributes:
        latent: Length of states and of actions.
        hidden: Width of the two hidden layers.
        lr: Learning rate of Adam, of all that is learnt.
        entropy: What the entropy of the policy is held at.
        released: Whether all coordinates, and all of a batch, share one random number, and entropy is a coordinate's
            mean rather than the sum, as in the released code.
    """

    latent: int
    hidden: int
    lr: float
    entropy: float
    released: bool = False

    @property
    def actor(self) -> Perceptrons:
        """States to means and logarithms of spreads."""
        return Perceptrons((self.latent, self.hidden, self.hidden, 2 * self.latent))

    @property
    def critic(self) -> Perceptrons:
        """States and actions to rewards."""
        return Perceptrons((2 * self.latent, self.hidden, self.hidden, 1))

    def first(self, actors: Sequence[torch.Generator], critics: Sequence[torch.Generator]) -> State:
        """Agents that know nothing, at temperature 1, and the zero moments of Adam.

        Args:
            actors: Random numbers of each one's policy.
            critics: Of each one's critic.
        """
        actor, critic = self.actor.first(actors), self.critic.first(critics)
        learnt = {"actor": actor, "critic": critic, "temperature": torch.zeros(len(actor), 1)}
        moments = {f"{name} {moment}": torch.zeros_like(p) for name, p in learnt.items() for moment in "ms"}
        return {**learnt, **moments}

    def act(self, actor: Tensor, s: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """Actions ``tanh(μ(s) + σ(s) e)``.

        Args:
            actor: Weights ``(K, P)``.
            s: States ``(K, B, latent)``.
            e: Standard normal numbers, alike.

        Returns:
            Actions in (-1, 1), alike, and the logarithms of their densities ``(K, B)``.
        """
        mean, spread = self.actor(actor, s).chunk(2, -1)
        spread = spread.clamp(*LOG_STD)
        e = e[:, :1, :1].expand_as(e) if self.released else e
        u = mean + spread.exp() * e
        normal = -0.5 * e.square() - spread - 0.5 * math.log(2 * math.pi)
        density = normal - 2 * (math.log(2) - u - F.softplus(-2 * u))  # less the logarithm of tanh's slope
        return u.tanh(), density.mean(-1) if self.released else density.sum(-1)

    def learn(self, state: State, s: Tensor, a: Tensor, r: Tensor, e: Tensor, t: int) -> None:
        """Update t (from 0) of all that is learnt, in place.

        Args:
            state: As `first` gives it, on the device.
            s: States ``(K, B, latent)``.
            a: Actions there, alike.
            r: Their rewards ``(K, B)``.
            e: Standard normal numbers ``(K, B, latent)``.
            t: Updates done.
        """
        for name in LEARNT:
            state[name].requires_grad_(True)
        told = self.critic(state["critic"], torch.cat([s, a], -1))[..., 0]
        self._descend(state, "critic", 0.5 * (told - r).square().mean(1).sum(), t)
        action, density = self.act(state["actor"], s, e)
        worth = self.critic(state["critic"], torch.cat([s, action], -1))[..., 0]
        heat = state["temperature"]
        self._descend(state, "actor", (heat.detach().exp() * density - worth).mean(1).sum(), t)
        self._descend(state, "temperature", -(heat * (density.detach() + self.entropy)).mean(1).sum(), t)

    def _descend(self, state: State, name: str, loss: Tensor, t: int) -> None:
        p = state[name]
        (g,) = torch.autograd.grad(loss, p)
        m, v = f"{name} m", f"{name} s"
        state[name], state[m], state[v] = adam(p.detach(), g, state[m], state[v], t, self.lr)
