from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unveil.attacks.priors import gan
from unveil.attacks.priors.inversion_gan import InversionGAN, discriminator_loss, generator_loss
from unveil.attacks.priors.wgan_gp import WGANGP, gradient_penalty
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Images, Prior, View
from unveil.harness.words.errors import AssetError, TrainingError, UnveilError
from unveil.harness.words.run import Run

SHAPE = (1, 16, 16)
WGAN = WGANGP(width=4, steps=10, batch=4, critic_steps=2)
INVERSION = InversionGAN(width=4, steps=10, batch=4, generator_every=2)


Asked = Callable[[], View]


def fitted(
    prior: Prior, public: Images, run: Run, asked: Asked
) -> tuple[dict[str, torch.Tensor], dict[str, list[float]]]:
    generator = prior.build(3, SHAPE)
    curves = prior.fit(generator, public, asked() if prior.access else None, run)
    return generator.state_dict(), {key: list(values) for key, values in curves.items()}


def test_gradient_penalty_of_a_linear_critic_is_the_worked_one() -> None:
    """D(x) = w·x has slope w everywhere: penalty (|w| - 1)² with gradient 2 (|w| - 1) w / |w|."""
    w = torch.tensor([3.0, 4.0, 0.0, 0.0], requires_grad=True)
    penalty = gradient_penalty(
        lambda x: x.flatten(1) @ w, torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    )
    assert penalty.item() == pytest.approx(16.0)
    (g,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(g, torch.tensor([4.8, 6.4, 0.0, 0.0]))


def test_discriminator_and_generator_losses_are_the_written_ones() -> None:
    class Given(nn.Module):
        """Reads features and logits straight off the picture."""

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x[:, 0], x[:, 1]

    g = torch.Generator().manual_seed(0)
    x, u, z = (torch.randn(4, 2, 3, generator=g) for _ in range(3))
    p = torch.rand(4, 3, generator=g).softmax(1)
    lse_u, lse_z = u[:, 1].logsumexp(1), z[:, 1].logsumexp(1)
    supervised = -(p * x[:, 1].log_softmax(1)).sum(1).mean()
    adversarial = 0.5 * (F.softplus(lse_u).mean() - lse_u.mean() + F.softplus(lse_z).mean())
    torch.testing.assert_close(discriminator_loss(Given(), x, p, u, z), supervised + adversarial)
    q = z[:, 1].softmax(1)
    expected = (z[:, 0].mean(0) - u[:, 0].mean(0)).abs().mean() + 0.1 * -(q * q.log()).sum()
    torch.testing.assert_close(generator_loss(Given(), u, z, 0.1), expected)


def written_steps(
    prior: Prior, public: Images, run: Run, asked: Asked
) -> tuple[nn.Module, nn.Module, dict[str, list[float]]]:
    """Two training steps in plain torch, the second one with the generator's turn (sections 2.1 and 2.2)."""
    built = prior.build(3, SHAPE)
    gan.begin(built, "z100", run)
    g, d = copy.deepcopy(built.network).train(), copy.deepcopy(built.critic).train()
    adam_g, adam_d = (torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999)) for part in (g, d))
    batches = gan.PublicBatches(public, 4, flip=False, run=run)
    labels = torch.softmax(asked().logits(public.pixels), 1)
    curves: dict[str, list[float]] = {}

    def down(name: str, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curves.setdefault(name, []).append(loss.item())

    def generated(stream: str, i: int) -> torch.Tensor:
        return g(torch.randn(4, 100, generator=run.generator(stream, i)))

    def critic(i: int, fake: torch.Tensor) -> torch.Tensor:
        real = batches.pixels(batches.indices("real", i))
        t = torch.rand(4, 1, 1, 1, generator=run.generator("mix", i))
        x = (t * real + (1 - t) * fake).requires_grad_(True)
        (slope,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
        penalty = torch.stack([(one.norm() - 1) ** 2 for one in slope]).mean()
        return d(fake).mean() - d(real).mean() + 10 * penalty

    def discriminator(i: int, fake: torch.Tensor) -> torch.Tensor:
        index = batches.indices("labelled", i)
        other = d(batches.pixels(batches.indices("unlabelled", i)))[1].exp().sum(1)
        supervised = -(labels[index] * d(batches.pixels(index))[1].log_softmax(1)).sum(1).mean()
        return (
            supervised
            + 0.5 * ((1 + other).log() - other.log()).mean()
            + 0.5 * (1 + d(fake)[1].exp().sum(1)).log().mean()
        )

    def matching(i: int, fake: torch.Tensor) -> torch.Tensor:
        h, o = d(fake)
        real = d(batches.pixels(batches.indices("matched", i)))[0].detach()
        p = o.softmax(1)
        return (h.mean(0) - real.mean(0)).abs().mean() + 1e-4 * -(p * p.log()).sum()

    for i in range(2):
        fake = generated("z", i).detach()
        if prior.access:
            down("discriminator", adam_d, discriminator(i, fake))
        else:
            down("critic", adam_d, critic(i, fake))
        if i == 1:
            fake = generated("z of the generator", i)
            down("generator", adam_g, matching(i, fake) if prior.access else -d(fake).mean())
    return g, d, curves


@pytest.mark.parametrize("prior", [WGAN, INVERSION], ids=["wgan_gp", "inversion_gan"])
def test_the_first_steps_are_the_written_ones(prior: Prior, public: Images, run: Run, asked: Asked) -> None:
    prior = dataclasses.replace(prior, steps=2)
    g, d, expected = written_steps(prior, public, run, asked)
    state, curves = fitted(prior, public, run, asked)
    assert curves == {name: pytest.approx(values, rel=1e-4) for name, values in expected.items()}
    wanted = {f"network.{name}": value for name, value in g.state_dict().items()}
    wanted |= {f"critic.{name}": value for name, value in d.state_dict().items()}
    assert wanted.keys() == state.keys()
    for name, value in wanted.items():
        if not name.endswith(
            "bias"
        ):  # what comes before a norm has no slope but that of rounding, whose sign Adam follows
            apart = (state[name] - value).abs() > 2e-5
            assert apart.float().mean() < 0.02, name


@pytest.mark.parametrize("prior", [WGAN, INVERSION], ids=["wgan_gp", "inversion_gan"])
def test_same_identity_same_bits_and_both_networks_learn(prior: Prior, public: Images, run: Run, asked: Asked) -> None:
    first, curves = fitted(prior, public, run, asked)
    again, _ = fitted(prior, public, run, asked)
    other, _ = fitted(prior, public, Run("other"), asked)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["network.up.0.weight"], other["network.up.0.weight"])
    assert {len(values) for values in curves.values()} == {10, 5}


@pytest.mark.parametrize("prior", [WGAN, INVERSION], ids=["wgan_gp", "inversion_gan"])
def test_goes_on_after_a_kill_as_if_nothing_had_been(
    prior: Prior, public: Images, interrupted: tuple[Run, Run], asked: Asked
) -> None:
    whole, curves = fitted(prior, public, Run("test"), asked)
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        fitted(prior, public, killed, asked)
    assert list(killed.scratch.iterdir()) if killed.scratch else False
    resumed, resumed_curves = fitted(prior, public, heir, asked)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert curves == resumed_curves


def test_a_kept_generator_stays_as_it_is(public: Images, run: Run, asked: Asked) -> None:
    kept = fitted(WGANGP(width=4, steps=1, batch=4, train_generator=False), public, run, asked)[0]
    longer = fitted(WGANGP(width=4, steps=5, batch=4, train_generator=False), public, run, asked)[0]
    assert all(torch.equal(kept[key], longer[key]) for key in kept if key.startswith("network."))
    assert not torch.equal(kept["critic.layers.0.weight"], longer["critic.layers.0.weight"])


def test_the_target_is_asked_once_about_each_public_picture(public: Images, run: Run, asked: Asked) -> None:
    for flip, queries in ((False, 9), (True, 18)):
        view = asked()
        prior = InversionGAN(width=4, steps=3, batch=4, flip=flip)
        prior.fit(prior.build(3, SHAPE), public, view, run)
        assert (view.spent.queries, view.spent.gradients) == (queries, 0)


def test_realism_of_the_inversion_gan_is_alone_unless_coupled(public: Images) -> None:
    for coupled in (False, True):
        prior = InversionGAN(width=4, coupled=coupled).build(3, SHAPE)
        prior.critic.closeness.theta.data *= 1e-3
        alone = torch.cat([prior.realism(x) for x in public.pixels.split(1)])
        assert torch.allclose(prior.realism(public.pixels), alone, atol=1e-5) != coupled
        assert alone.max() <= 0


def test_public_batches_show_every_picture_once_an_epoch_and_mirrors_only_if_asked(public: Images, run: Run) -> None:
    batches = gan.PublicBatches(public, 4, flip=True, run=run)
    epoch = torch.cat([batches.indices("real", i) for i in range(4)])
    assert len(epoch.unique()) == 16
    assert not torch.equal(batches.indices("real", 0), batches.indices("real", 4))
    assert torch.equal(batches.pixels(torch.tensor([9]))[0], public.pixels[0].flip(-1))
    assert gan.PublicBatches(public, 64, flip=False, run=run).size == 9


def test_divergence_and_missing_target_are_named(public: Images, run: Run) -> None:
    broken = Images(torch.full((9, *SHAPE), float("nan")), public.labels)
    with pytest.raises(TrainingError, match="diverged at step 0: critic is nan"):
        WGAN.fit(WGAN.build(3, SHAPE), broken, None, run)
    last = dataclasses.replace(WGAN, steps=1, lr=float("inf"))  # no loss after its only step tells
    with pytest.raises(TrainingError, match="diverged by step 1: weights are not finite"):
        last.fit(last.build(3, SHAPE), public, None, run)
    with pytest.raises(UnveilError, match="no target"):
        INVERSION.fit(INVERSION.build(3, SHAPE), public, None, run)


def test_the_warm_start_is_the_asset(run: Run) -> None:
    try:
        with seeded(Run("0")):
            face = gan.load_digiface()
    except AssetError as error:
        pytest.skip(f"the generator cannot be fetched: {error.what}")
    prior = WGANGP(start="digiface", width=2, steps=1, batch=2, train_generator=False)
    public = Images(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.full((2,), -1))
    generator = prior.build(3, (3, 64, 64))
    prior.fit(generator, public, None, run)
    z = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(generator.synthesize(z), face(z))
    assert set(prior.content()) == {"digiface"}
    assert WGAN.content() == {}


def test_the_warm_start_makes_64_pixel_colour_only() -> None:
    with pytest.raises(UnveilError, match=r"1, 16, 16"):
        WGANGP(start="digiface").build(3, SHAPE)
