"""RLB-MI: an agent of each class learns which latents the target scores highly (Han et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.afford import Staged
from unveil.attacks.agents import Agents
from unveil.attacks.drawing import show
from unveil.attacks.mirror import log
from unveil.attacks.numbers import normal
from unveil.attacks.search import Descent, Key, State, labels_of, search
from unveil.harness.types import Access, Budget, Generator, Images, Run, Spec, View, draw_normal

BOTH, MARGIN = 2.0, 8.0  # weights of the two scores and of the margin in the reward
LEAST = 1e-7  # margin, so that its logarithm is finite
REPLAY = ("states", "actions", "rewards")
KEPT = {"best", "surest", "y"}  # of an agent that is done


@dataclass(frozen=True)
class RLBMI(Staged):
    """RLB-MI: trains an agent by soft actor-critic, rewarded for latents whose pictures the target scores highly.

    An episode draws a state from the prior, lets the agent answer with an action in (-1, 1), and pays for the picture
    of the next state, which is the action itself unless ``inertia`` mixes it with the state. Then the agent answers
    another fresh state, and of these pictures the one that the target is surest of is returned. With ``inertia = 0``
    that is two queries an episode, and three otherwise.

    Departures: each coordinate has its own random number, and the entropy of the policy is that of all coordinates,
    held at minus their number. The released code shares one number among all and compares the mean over coordinates
    with a target for the sum, so that its temperature only falls, to .0067 after 10000 updates, and its agents cease to
    explore (``released = true``). A minibatch is drawn with repetition.

    Attributes:
        prior: The generator whose latents are searched.
        samples: Agents of each identity, and pictures of it; 1 as published.
        episodes: Of each agent.
        replay_batch: Episodes that an update learns from; updates begin, one an episode, when there are more.
        hidden: Width of the two hidden layers of policy and critic.
        lr: Learning rate of both and of the temperature.
        inertia: Share of the state in the next one; 0 as published.
        entropy: What the policy's entropy is held at; minus the length of a latent if None, as published.
        released: Whether it explores as the released code does.
        batch: Agents trained at once, and images in memory; changes no result beyond rounding. Each remembers all its
            episodes: with 40000 and latents of 100 numbers 32 MB.
    """

    prior: Spec = field(default=Spec("wgan_gp"))
    samples: Annotated[int, Field(ge=1)] = 1
    episodes: Annotated[int, Field(ge=1)] = 40_000
    replay_batch: Annotated[int, Field(ge=1)] = 256
    hidden: Annotated[int, Field(ge=1)] = 256
    lr: Annotated[float, Field(gt=0)] = 5e-4
    inertia: Annotated[float, Field(ge=0, lt=1)] = 0.0
    entropy: float | None = None
    released: bool = False
    batch: Annotated[int, Field(ge=1)] = 10

    paper: ClassVar[str] = "Han et al., Reinforcement Learning-Based Black-Box Model Inversion Attacks, CVPR 2023"
    access: ClassVar[Access] = Access.SCORES

    @property
    def questions(self) -> int:
        """Queries of an episode."""
        return 3 if self.inertia else 2

    def within(self, budget: Budget, identities: int) -> Self:
        """The same with fewer episodes, where the budget does not reach."""
        share = afford.share(budget, identities * self.samples * self.episodes * self.questions)
        return replace(self, episodes=max(1, int(self.episodes * share)))

    def attack(self, view: View, prior: Generator, labels: Tensor, run: Run) -> Images:
        """Trains the agents, whatever that costs."""
        if self.episodes <= self.replay_batch:
            run.note(f"its agents learn nothing: {self.episodes} episodes are no more than one update takes")
        keys = [(y, r) for y in labels.tolist() for r in range(self.samples)]
        training = Training(self, view, prior, run)
        descent = Descent(training.start, training.step, lambda state: prior.synthesize(state["best"]))
        found = search(view, run, "rlb_mi", keys, self.episodes, self.batch, descent)["best"]
        return show(prior, found, keys, run, self.batch)


class Training:
    """Episodes of agents: what they do, are paid and learn.

    Args:
        attack: Settings.
        view: The target.
        prior: Whose latents are states and actions.
        run: Randomness.
    """

    def __init__(self, attack: RLBMI, view: View, prior: Generator, run: Run) -> None:
        self.attack, self.view, self.prior, self.run = attack, view, prior, run
        entropy = -float(prior.latent) if attack.entropy is None else attack.entropy
        self.agents = Agents(prior.latent, attack.hidden, attack.lr, entropy, attack.released)
        self.noise = normal(run, "noise", 2 * prior.latent)

    def start(self, keys: Sequence[Key]) -> State:
        """Agents that know nothing, with empty replays."""
        count, latent, episodes = len(keys), self.prior.latent, self.attack.episodes
        firsts = self.agents.first(self.run.generators("actor", keys), self.run.generators("critic", keys))
        state = {
            **firsts,
            "states": torch.zeros(count, episodes, latent),
            "actions": torch.zeros(count, episodes, latent),
            "rewards": torch.zeros(count, episodes),
            "best": torch.zeros(count, latent),
            "surest": torch.full((count,), -1.0),
        }
        return {**{name: value.to(self.run.device) for name, value in state.items()}, "y": labels_of(keys, self.run)}

    def step(self, keys: Sequence[Key], state: State, t: int) -> Tensor:
        """Episode t, and what is learnt from it."""
        drawn = self.prior.sample(self.run.generators("state", [(*key, t, i) for key in keys for i in range(2)]))
        s, fresh = drawn.to(self.run.device).unflatten(0, (len(keys), 2)).unbind(1)
        e, f = self.noise.at(keys, t).chunk(2, 1)
        self.play(state, s, e, t)
        if (update := t - self.attack.replay_batch) >= 0:
            self.learn(keys, state, update, seen=t + 1)
        self.try_out(state, fresh, f)
        if t == self.attack.episodes - 1:
            for name in {*state} - KEPT:  # replay and weights are large, and of no more use
                del state[name]
        return -log(state["surest"])

    @torch.no_grad()
    def play(self, state: State, s: Tensor, e: Tensor, t: int) -> None:
        """Acts in states ``(K, latent)`` with noise e, is paid, and remembers."""
        a = self.answer(state, s, e)
        after = self.view.scores(self.prior.synthesize(self.moved(s, a)))
        direct = self.view.scores(self.prior.synthesize(a)) if self.attack.inertia else after
        state["states"][:, t], state["actions"][:, t] = s, a
        state["rewards"][:, t] = reward(after.float(), direct.float(), state["y"])

    def learn(self, keys: Sequence[Key], state: State, update: int, seen: int) -> None:
        """Learns from some of the episodes seen so far."""
        size, generators = self.attack.replay_batch, self.run.generators("update", [(*key, update) for key in keys])
        index = torch.stack([torch.randint(seen, (size,), generator=g) for g in generators]).to(self.run.device)
        e = draw_normal(generators, (size, self.prior.latent)).to(self.run.device)
        rows = torch.arange(len(keys), device=self.run.device)[:, None]
        s, a, r = (state[name][rows, index] for name in REPLAY)
        self.agents.learn(state, s, a, r, e, update)

    @torch.no_grad()
    def try_out(self, state: State, fresh: Tensor, e: Tensor) -> None:
        """Answers fresh states ``(K, latent)``, and keeps answers that the target is surer of than of those before."""
        z = self.moved(fresh, self.answer(state, fresh, e))
        p = self.view.scores(self.prior.synthesize(z)).float().gather(1, state["y"][:, None])[:, 0]
        surer = p >= state["surest"]
        state["best"] = torch.where(surer[:, None], z, state["best"])
        state["surest"] = p.maximum(state["surest"])

    def answer(self, state: State, s: Tensor, e: Tensor) -> Tensor:
        """Actions ``(K, latent)`` in states alike."""
        return self.agents.act(state["actor"], s[:, None], e[:, None])[0][:, 0]

    def moved(self, s: Tensor, a: Tensor) -> Tensor:
        """Next states."""
        return self.attack.inertia * s + (1 - self.attack.inertia) * a


def reward(after: Tensor, direct: Tensor, y: Tensor) -> Tensor:
    """``2 ln p_y(s') + 2 ln p_y(a) + 8 ln max(1e-7, p_y(s') - max_{k≠y} p_k(s'))``.

    Args:
        after: Scores of the next states' pictures ``(N, C)``.
        direct: Of the actions' pictures, alike.
        y: Labels ``(N,)``.

    Example:
        >>> scores = torch.tensor([[0.9, 0.05, 0.05], [0.1, 0.5, 0.4]])
        >>> [round(r, 5) for r in reward(scores, scores, torch.tensor([0, 0])).tolist()]
        [-1.72159, -138.15511]
    """
    own = after.gather(1, y[:, None])[:, 0]
    others = after.scatter(1, y[:, None], -torch.inf).amax(1)
    both = log(own) + log(direct.gather(1, y[:, None])[:, 0])
    return BOTH * both + MARGIN * (own - others).clamp(min=LEAST).log()
