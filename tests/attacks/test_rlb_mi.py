"""RLB-MI: what agents are paid, how they learn from it, and what they ask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from unveil.attacks.agents import Agents
from unveil.attacks.perceptrons import Perceptrons
from unveil.attacks.rlb_mi import RLBMI, reward
from unveil.attacks.search import State
from unveil.harness.types import Access, Budget, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

LABELS, SHAPE = torch.tensor([0, 2]), (1, 2, 3)
SMALL = RLBMI(episodes=30, replay_batch=8, hidden=16)


def begun(agents: Agents, *seeds: int) -> State:
    actors, critics = ([torch.Generator().manual_seed(s + shift) for s in seeds] for shift in (0, 1000))
    return {name: value.double() for name, value in agents.first(actors, critics).items()}


def network(weights: Tensor, *sizes: int) -> nn.Sequential:
    """The perceptron of these weights, as torch has it."""
    layers = [nn.utils.skip_init(nn.Linear, a, b, dtype=torch.double) for a, b in pairwise(sizes)]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    at = 0
    for layer in net[::2]:
        fan_in, out = layer.in_features, layer.out_features
        part = weights[at : at + (fan_in + 1) * out].view(fan_in + 1, out)
        layer.weight.data, layer.bias.data = part[:-1].T.clone(), part[-1].clone()
        at += (fan_in + 1) * out
    assert at == len(weights)
    return net


def test_what_is_paid_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.05, 0.05], [0.1, 0.5, 0.4], [0.0, 1.0, 0.0]])
    paid = reward(scores, scores, torch.tensor([0, 0, 0]))
    assert paid[:2].tolist() == pytest.approx([-1.721593, -138.155106], abs=1e-5)
    assert paid.isfinite().all()
    direct = torch.tensor([[0.3, 0.4, 0.3]])
    wanted = 2 * math.log(0.9) + 2 * math.log(0.3) + 8 * math.log(0.85)
    assert reward(scores[:1], direct, torch.tensor([0])).item() == pytest.approx(wanted, rel=1e-5)


def density_of(mean: Tensor, spread: Tensor, action: Tensor) -> Tensor:
    policy = TransformedDistribution(Independent(Normal(mean, spread.clamp(-20, 2).exp()), 1), TanhTransform())
    density: Tensor = policy.log_prob(action)
    return density


def test_densities_are_those_of_a_normal_behind_tanh() -> None:
    agents, some = Agents(3, 8, 1e-3, -3.0), torch.Generator().manual_seed(0)
    s, e = (torch.randn(2, 5, 3, generator=some).double() for _ in range(2))
    state = begun(agents, 1, 2)
    a, density = agents.act(3 * state["actor"], s, e)
    assert a.abs().max() < 1
    for k in range(2):
        mean, spread = network(3 * state["actor"][k], 3, 8, 8, 6)(s[k]).chunk(2, -1)
        torch.testing.assert_close(density[k], density_of(mean, spread, a[k]), atol=0, rtol=1e-5)
    released = replace(agents, released=True)
    shared, mean_density = released.act(3 * state["actor"], s, e)
    mean, spread = network(3 * state["actor"][1], 3, 8, 8, 6)(s[1]).chunk(2, -1)
    torch.testing.assert_close(shared[1], (mean + spread.clamp(-20, 2).exp() * e[1, 0, 0]).tanh())
    torch.testing.assert_close(mean_density[1], density_of(mean, spread, shared[1]) / 3, atol=0, rtol=1e-5)


def test_the_first_updates_are_those_of_torch() -> None:
    """Two agents at once against one after the other, of nn.Linear, torch.distributions and torch.optim.Adam."""
    agents, some = Agents(3, 8, 1e-2, -3.0), torch.Generator().manual_seed(0)
    state = begun(agents, 1, 2)
    batches = [[torch.randn(2, 4, 3, generator=some).double() for _ in range(3)] for _ in range(3)]
    pays = [torch.randn(2, 4, generator=some).double() for _ in range(3)]
    apart = [(network(state["actor"][k], 3, 8, 8, 6), network(state["critic"][k], 6, 8, 8, 1)) for k in range(2)]
    for t, ((s, a, e), r) in enumerate(zip(batches, pays, strict=True)):
        agents.learn(state, s, a.tanh(), r, e, t)
    for k, (actor, critic) in enumerate(apart):
        heat = torch.zeros((), dtype=torch.double, requires_grad=True)
        optimisers = [torch.optim.Adam(p, 1e-2) for p in (critic.parameters(), actor.parameters(), [heat])]
        for (s, a, e), r in zip(batches, pays, strict=True):
            told = critic(torch.cat([s[k], a[k].tanh()], 1))[:, 0]
            step(optimisers[0], nn.functional.mse_loss(told, r[k]) / 2)
            mean, spread = actor(s[k]).chunk(2, -1)
            action = (mean + spread.exp() * e[k]).tanh()
            density = density_of(mean, spread, action)
            entropy_loss = -(heat * (density.detach() - 3)).mean()
            step(optimisers[1], (heat.exp().detach() * density - critic(torch.cat([s[k], action], 1))[:, 0]).mean())
            step(optimisers[2], entropy_loss)
        fresh = torch.randn(7, 6, generator=some).double()
        alone = {"actor": actor(fresh[:, :3]), "critic": critic(fresh)}
        for name, shape in (("actor", agents.actor), ("critic", agents.critic)):
            x = fresh[None, :, : shape.sizes[0]]
            torch.testing.assert_close(shape(state[name][k : k + 1], x)[0], alone[name], atol=1e-8, rtol=0)
        assert state["temperature"][k].item() == pytest.approx(heat.item(), abs=1e-9)


def step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def taught(agents: Agents, updates: int, pay: Callable[[Tensor], Tensor]) -> State:
    """One agent, after as many updates on uniform actions."""
    state, some = begun(agents, 1), torch.Generator().manual_seed(0)
    for t in range(updates):
        s, e = (torch.randn(1, 32, agents.latent, generator=some).double() for _ in range(2))
        a = 2 * torch.rand(1, 32, agents.latent, generator=some).double() - 1
        agents.learn(state, s, a, pay(a), e, t)
    return state


def test_agents_learn_what_is_paid_best() -> None:
    """Against ``-20 |a - a*|²`` the policy settles at a*, whatever the state."""
    agents, wanted = Agents(2, 32, 5e-3, -4.0), torch.tensor([0.5, -0.3]).double()
    state = taught(agents, 500, lambda a: -20 * (a - wanted).square().sum(-1))
    s = torch.randn(1, 200, 2, generator=torch.Generator().manual_seed(1)).double()
    a, _ = agents.act(state["actor"], s, torch.zeros_like(s))
    torch.testing.assert_close(a.mean(1)[0], wanted, atol=0.1, rtol=0)


def test_temperature_holds_entropy_and_as_released_only_falls() -> None:
    def temperature(entropy: float, *, released: bool = False) -> float:
        state = taught(Agents(100, 4, 5e-4, entropy, released), 60, lambda a: a.mean(-1))
        return state["temperature"].exp().item()

    falling = temperature(-100, released=True)
    assert falling == pytest.approx(math.exp(-5e-4 * 60), rel=1e-4)  # so .607 after 1000
    assert temperature(-100) < 1  # a policy that knows nothing has more entropy than that
    assert temperature(100) > 1


def test_hidden_layers_begin_as_those_of_torch() -> None:
    row = Perceptrons((100, 256, 256, 2)).first([torch.Generator().manual_seed(0)])[0]
    for part, fan_in in ((row[: 101 * 256], 100), (row[101 * 256 :], 256)):
        assert part.abs().max().item() == pytest.approx(fan_in**-0.5, rel=1e-2)


def test_what_was_learnt_makes_the_target_surer(target: Classifier, ingredients: Ingredients) -> None:
    def surest(**changed: int) -> float:
        run = Run("learnt")
        attack = replace(SMALL, episodes=300, lr=5e-3, **changed)
        images = attack.reconstruct(View(target, Access.SCORES, SHAPE), ingredients, LABELS, run)
        with torch.no_grad():
            scores = target.logits(images.pixels).softmax(1)
        assert bool(run.notes) == (attack.replay_batch >= 300)
        return scores.gather(1, images.labels[:, None]).mean().item()

    assert surest() > surest(replay_batch=300) + 0.01


@pytest.mark.parametrize(("inertia", "each"), [(0.0, 2), (0.5, 3)])
def test_it_asks_as_often_as_it_says(
    target: Classifier, ingredients: Ingredients, run: Run, inertia: float, each: int
) -> None:
    attack = replace(SMALL, samples=2, inertia=inertia)
    view = View(target, Access.SCORES, SHAPE)
    assert len(attack.reconstruct(view, ingredients, LABELS, run)) == 4
    assert (view.spent.queries, view.spent.gradients) == (2 * 2 * 30 * each, 0)
    limited = View(target, Access.SCORES, SHAPE, Budget(queries=50, identities=2))
    attack.reconstruct(limited, ingredients, LABELS, run)
    assert 80 < limited.spent.queries <= 100
    assert run.notes[0] == f"kept to its budget with episodes = {25 // each}"
    published = RLBMI()
    assert (published.episodes * published.questions, published.replay_batch, published.lr) == (80_000, 256, 5e-4)
