"""VMI: flows against their Jacobians, steps against torch's SGD, and the one distribution that is best."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn.functional import elu, leaky_relu

from unveil.attacks.align_mi import AlignMI
from unveil.attacks.flows import Flows
from unveil.attacks.losses import cross_entropy
from unveil.attacks.vmi import VMI, Fit
from unveil.harness.types import Access, Budget, Spec, View
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
SMALL = VMI(samples=2, steps=3, step_batch=5, lr=0.3, divergence_weight=0.1, flow_steps=2, flow_width=4)


def flows(latent: int = 5, layers: int = 2, steps: int = 3) -> Flows:
    some = torch.Generator().manual_seed(0)
    return Flows(latent, layers, 4, torch.stack([torch.randperm(latent, generator=some) for _ in range(steps)]))


def weights(of: Flows, count: int) -> Tensor:
    """Random ones, couplings and scales included."""
    p = of.first(Run("weights"), [(k,) for k in range(count)])
    return p + 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)).double()


def perceptron(net: Tensor, x: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """A perceptron with weights in one row."""
    at = 0
    for i, (fan_in, out) in enumerate(pairwise(sizes)):
        part = net[at : at + (fan_in + 1) * out].view(fan_in + 1, out)
        x, at = x @ part[:-1] + part[-1], at + (fan_in + 1) * out
        x = x if i == len(sizes) - 2 else elu(x)
    return x


def undone(p: Tensor, u: Tensor, of: Flows) -> Tensor:
    """What one flow with weights ``(steps, P)`` made vectors ``(B, latent)`` of."""
    d, half = of.latent, of.latent // 2
    for step, shuffle in zip(p.flip(0), of.shuffles.flip(0), strict=True):
        u = (u - step[:d]) / step[d : 2 * d].exp()
        u = u[:, shuffle.argsort()]
        added = perceptron(step[2 * d :], u[:, :half], (half, 4, 4, d - half))
        u = torch.cat([u[:, :half], u[:, half:] - added], 1)
    return u


def test_flows_can_be_undone_and_only_scales_change_volumes() -> None:
    of = flows()
    p, z = weights(of, 2), torch.randn(2, 7, 2, 5, generator=torch.Generator().manual_seed(2)).double()
    u, apart = of.draw(p, z), p.view(2, 2, 3, -1)
    for k in range(2):
        for layer in range(2):
            back = undone(apart[k, layer], u[k, :, layer], of)
            torch.testing.assert_close(back, z[k, :, layer], atol=1e-9, rtol=0)
    jacobian = torch.autograd.functional.jacobian(lambda x: of.draw(p[:1], x[None, None])[0, 0, 1], z[0, 0])
    volume = torch.linalg.slogdet(jacobian[:, 1])[1]
    assert volume.item() == pytest.approx(apart[0, 1, :, 5:10].sum().item())
    assert jacobian[:, 0].abs().max() == 0  # layers share nothing


def test_divergence_is_the_mean_over_layers_of_the_written_one() -> None:
    of = flows()
    p, z = weights(of, 2), torch.randn(2, 50, 2, 5, generator=torch.Generator().manual_seed(2)).double()
    normal = torch.distributions.Normal(torch.zeros((), dtype=torch.double), 1.0)
    u, volume = of.draw(p, z), p.view(2, 2, 3, -1)[..., 5:10].sum((2, 3))
    q = normal.log_prob(z).sum(-1) - volume[:, None]
    torch.testing.assert_close(of.divergence(p, z), (q - normal.log_prob(u).sum(-1)).mean((1, 2)))


def fit(world: object, attack: VMI, run: Run) -> Fit:
    view = View(world.target(), Access.WHITE_BOX, world.shape)  # type: ignore[attr-defined]
    prior = world.ingredients().prior  # type: ignore[attr-defined]
    return Fit(attack, view, prior, lambda x, y: cross_entropy(view.logits(x), y), run)


@pytest.mark.parametrize("independent", [False, True])
def test_it_begins_as_the_prior(worlds: ModuleType, independent: bool) -> None:
    """No divergence, and latents that are the prior's, shuffled; all layers alike unless each is fed its own."""
    run = Run("begin")
    made = fit(worlds.STYLE, replace(SMALL, layers=2, independent=independent), run)
    state = made.start([(2,)])
    z = torch.randn(2 + independent, 16, generator=run.generator("draw", 2, 1)).double()
    fed = z[:2] if independent else z[:1].expand(2, -1)
    order = made.flows.shuffles[0][made.flows.shuffles[1]]
    torch.testing.assert_close(state["u"][0, 1], torch.cat([fed[:, order], z[-1:]]))
    noise, _ = made.noise([run.generator("noise")], 9)
    torch.testing.assert_close(made.flows.divergence(state["p"], noise), torch.zeros(1, dtype=torch.double))


def test_the_first_steps_are_those_of_torch(worlds: ModuleType) -> None:
    """Three steps of torch.optim.SGD on the written loss of one identity, with flows written as loops."""
    world, run = worlds.STYLE, Run("test")
    images = SMALL.reconstruct(View(world.target(), Access.WHITE_BOX, world.shape), world.ingredients(), LABELS, run)
    of, w = fit(world, SMALL, run).flows, world.weights()[0]

    def drawn(p: Tensor, z: Tensor) -> Tensor:
        """The three layers' latents of vectors ``(B, 16)``: ``(B, 3, 16)``."""
        layers = []
        for steps in p.view(3, 2, -1):
            x = z
            for step, shuffle in zip(steps, of.shuffles, strict=True):
                added = perceptron(step[32:], x[:, :8], (8, 4, 4, 8))
                x = torch.cat([x[:, :8], x[:, 8:] + added], 1)[:, shuffle] * step[16:32].exp() + step[:16]
            layers.append(x)
        return torch.stack(layers, 1)

    for row, y in enumerate((0, 2)):
        p = of.first(run, [(y,)])[0].requires_grad_(True)
        begun = p.detach().clone()
        sgd = torch.optim.SGD([p], 0.3, momentum=0.9)
        for t in range(3):
            g = run.generator("noise", y, t)
            z, fresh = (torch.randn(5, 1, 16, generator=g)[:, 0].double() for _ in range(2))
            o = 0.1 * leaky_relu(drawn(p, z), 0.2).mean(1) @ w.T
            energy = (drawn(p, fresh).square().sum((1, 2)) - 3 * fresh.square().sum(1)) / 2 / 3
            divergence = energy.mean() - p.view(3, 2, -1)[..., 16:32].sum() / 3
            sgd.zero_grad()
            ((o.logsumexp(1) - o[:, y]).mean() + 0.1 * divergence).backward()
            sgd.step()
        assert all((p - begun).view(3, 2, -1)[..., part].abs().max() > 1e-4 for part in (slice(32), slice(32, None)))
        for s in range(2):
            z = torch.randn(1, 1, 16, generator=run.generator("draw", y, s))[0].double()
            x = 0.5 + 0.1 * leaky_relu(drawn(p.detach(), z), 0.2).mean(1)[0]
            found = images.pixels[2 * row + s].flatten().double()
            torch.testing.assert_close(found, x.clamp(0, 1), atol=1e-5, rtol=0)


def test_finds_the_distribution_that_is_best(worlds: ModuleType) -> None:
    """``-E[o_y] + λ KL`` with linear logits ``.1 W u`` is least for ``N(.1 W_y / λ, I)``, and for no other."""
    world = worlds.World()
    attack = VMI(
        samples=300, steps=150, step_batch=64, lr=0.01, divergence_weight=1.0, flow_steps=2, flow_width=4,
        identity="logit",
    )  # fmt: skip
    view = View(world.target(), Access.WHITE_BOX, world.shape)
    images = attack.reconstruct(view, world.ingredients(), LABELS, Run("best"))
    u = (images.pixels.flatten(1).double() - 0.5).view(2, 300, 6) / 0.1
    wanted = 0.1 * world.weights()[0][[0, 2]]
    assert wanted.abs().max() > 0.5
    torch.testing.assert_close(u.mean(1), wanted, atol=0.2, rtol=0)
    torch.testing.assert_close(u.std(1), torch.ones(2, 6).double(), atol=0.15, rtol=0)
    assert (view.spent.queries, view.spent.gradients) == (2 * 150 * 64, 2 * 150 * 64)


def test_a_budget_cuts_its_steps(worlds: ModuleType) -> None:
    world, run = worlds.STYLE, Run("test")
    view = View(world.target(), Access.WHITE_BOX, world.shape, Budget(gradients=54, identities=2))
    replace(SMALL, steps=40).reconstruct(view, world.ingredients(), LABELS, run)
    assert view.spent.gradients == 2 * 50
    assert run.notes == ["kept to its budget with steps = 10"]


def test_what_was_fitted_makes_the_target_surer(worlds: ModuleType) -> None:
    world, scores = worlds.STYLE, []
    for steps in (1, 40):
        attack = replace(SMALL, samples=50, steps=steps, lr=0.05, divergence_weight=1e-3)
        view = View(world.target(), Access.WHITE_BOX, world.shape)
        images = attack.reconstruct(view, world.ingredients(), LABELS, Run("surer"))
        with torch.no_grad():
            p = world.target().logits(images.pixels).softmax(1)
        scores.append(p.gather(1, images.labels[:, None]).view(2, 50).mean(1))
    assert (scores[1] > scores[0] + 0.05).all()


def test_what_wraps_an_attack_that_descends_wraps_this_one(worlds: ModuleType) -> None:
    """Neighbours without noise are the picture itself, in batches that cut through an identity's draws."""
    world, settings = worlds.STYLE, {"steps": 3, "step_batch": 5, "flow_steps": 2, "flow_width": 4, "batch": 3}
    around = AlignMI(Spec("vmi", settings), "paa", neighbours=2, alpha=0.0)
    found = [
        attack.reconstruct(View(world.target(), Access.WHITE_BOX, world.shape), world.ingredients(), LABELS, Run("a"))
        for attack in (around, VMI(**settings))  # type: ignore[arg-type]
    ]
    torch.testing.assert_close(found[0].pixels, found[1].pixels, atol=1e-6, rtol=0)
