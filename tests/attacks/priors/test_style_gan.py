from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from unveil.attacks.priors import gan
from unveil.attacks.priors.augment import augment, place, recolour
from unveil.attacks.priors.style_gan import StyleGAN, averaging, begin, follow, mixed_rows, r1
from unveil.attacks.priors.style_networks import StyleGenerator
from unveil.harness.types import Images
from unveil.harness.words.run import Run

SHAPE = (3, 16, 16)
TINY = StyleGAN(width=2, width_max=8, latent=4, mapping_layers=2, steps=10, batch=4, r1_every=3, augment=0.5, flip=True)


@pytest.fixture
def public() -> Images:
    x = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(1))
    return Images(x, torch.full((9,), -1))


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(prior: StyleGAN, public: Images, run: Run) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    generator = prior.build(3, SHAPE)
    curves = prior.fit(generator, public, None, run)
    return generator.state_dict(), {key: list(values) for key, values in curves.items()}


def test_r1_of_a_quadratic_critic_is_the_worked_one() -> None:
    """D(x) = a |x|²/2 has slope a x: penalty a² mean |x|², whose slope by a is 2 a mean |x|²."""
    a = torch.tensor(3.0, requires_grad=True)
    x = torch.randn(5, 1, 2, 2, generator=drawn()).requires_grad_(True)
    penalty = r1(a * x.square().sum((1, 2, 3)) / 2, x)
    size = x.detach().square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty.detach(), 9 * size)
    (slope,) = torch.autograd.grad(penalty, a)
    torch.testing.assert_close(slope, 6 * size)


def test_the_average_forgets_half_in_its_half_life() -> None:
    assert averaging(1000, 10**9, 10) ** 100 == pytest.approx(0.5)
    assert averaging(1000, 200, 10) == pytest.approx(0.5)  # a twentieth of 200 is one batch
    old, new = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    new.weight.data.fill_(3.0)
    new.running_mean.fill_(7.0)
    follow(old, new, 0.75)
    assert (old.weight.item(), old.running_mean.item()) == (1.5, 7.0)


def test_styles_are_mixed_from_a_place_on() -> None:
    rows = mixed_rows(2000, 6, 0.9, drawn())
    assert not rows[:, 0].any()
    assert (rows[:, 1:].int().diff(dim=1) >= 0).all()
    share = rows[:, -1].float().mean().item()
    assert share == pytest.approx(0.9, abs=0.03)
    assert not mixed_rows(50, 6, 0.0, drawn()).any()


def test_same_identity_same_bits_and_the_mean_style_is_followed(public: Images, run: Run) -> None:
    first, curves = fitted(TINY, public, run)
    again, _ = fitted(TINY, public, run)
    other, _ = fitted(TINY, public, Run("other"))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["network.synthesis.b4.const"], other["network.synthesis.b4.const"])
    assert first["network.mapping.w_avg"].abs().sum() > 0
    assert {name: len(values) for name, values in curves.items()} == {"critic": 10, "generator": 10, "r1": 4}


def test_the_first_steps_are_the_written_ones(public: Images, run: Run) -> None:
    """Two steps with networks of one's own and torch's Adam: lazy R1 at the first, rates and betas scaled for it.

    Karras et al. 2020, Appendix B: R1 every k steps, k times as strong, with a rate and betas to the power of k/(k+1).
    """
    k = 2
    prior = StyleGAN(width=2, width_max=8, latent=4, mapping_layers=2, steps=2, batch=4, lr=1e-3, gamma=3.0, r1_every=k)
    built = prior.build(3, SHAPE)
    begin(built, run)
    g, d = copy.deepcopy(built.network).train(), copy.deepcopy(built.critic).train()
    average = [p.detach().clone() for p in g.parameters()]
    c = k / (k + 1)
    adam_g = torch.optim.Adam(g.parameters(), lr=1e-3, betas=(0.0, 0.99))
    adam_d = torch.optim.Adam(d.parameters(), lr=1e-3 * c, betas=(0.0, 0.99**c))

    def down(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    def fake(stream: str, i: int) -> Tensor:
        """Mixed styles: both latents mapped, the finer rows of most pictures from the second (their Sec. 5)."""
        numbers = run.generator("latents", stream, i)
        w = g.mapping(torch.randn(8, 4, generator=numbers))
        cut = torch.randint(1, 6, (4, 1), generator=numbers)
        swapped = torch.rand(4, 1, generator=numbers) < 0.9
        rows = [torch.stack([w[n + 4 if swapped[n] and r >= cut[n] else n] for r in range(6)]) for n in range(4)]
        return g.synthesis(torch.stack(rows), run.generator("noise", stream, i))

    batches = gan.PublicBatches(public, 4, flip=False, run=run)
    losses: dict[str, list[float]] = {"critic": [], "r1": [], "generator": []}
    for i in range(2):
        real = 2 * batches.pixels(batches.indices("real", i)) - 1
        drawn_now = fake("critic", i).detach()
        judged = (1 + d(drawn_now).exp()).log().mean() + (1 + (-d(real)).exp()).log().mean()
        losses["critic"].append(down(adam_d, judged))
        if i % k == 0:
            x = real.clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
            penalty = sum(one.square().sum() for one in slope) / 4
            losses["r1"].append(penalty.item())
            down(adam_d, 3.0 / 2 * penalty * k)
        losses["generator"].append(down(adam_g, (1 + (-d(fake("generator", i))).exp()).log().mean()))
        beta = 0.5 ** (4 / (0.05 * 4 * (i + 1)))  # a twentieth of the pictures seen is the half-life
        average = [beta * a + (1 - beta) * p.detach() for a, p in zip(average, g.parameters(), strict=True)]
    trained = prior.build(3, SHAPE)
    curves = prior.fit(trained, public, None, run)
    for name, values in losses.items():
        assert list(curves[name]) == pytest.approx(values, rel=1e-4), name
    for ours, theirs in zip(trained.network.parameters(), average, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
    for ours, theirs in zip(trained.critic.parameters(), d.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
    torch.testing.assert_close(trained.w_avg, g.mapping.w_avg, atol=1e-6, rtol=0)


def test_goes_on_after_a_kill_as_if_nothing_had_been(public: Images, interrupted: tuple[Run, Run]) -> None:
    whole, curves = fitted(TINY, public, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        fitted(TINY, public, killed)
    resumed, resumed_curves = fitted(TINY, public, heir)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert curves == resumed_curves


def test_what_comes_back_is_frozen_and_takes_its_noise_from_itself(public: Images, run: Run) -> None:
    generator = TINY.build(3, SHAPE)
    TINY.fit(generator, public, None, run)
    assert isinstance(generator, StyleGenerator)
    assert not generator.training
    assert not any(p.requires_grad for p in generator.parameters())
    z = generator.sample(run.generators("z", [(0,), (1,)]))
    assert torch.equal(generator.synthesize(z), generator.synthesize(z))


def test_it_learns_one_colour() -> None:
    """Pictures that are all of one dark red: the averaged generator draws near it, which an untrained one does not."""
    red = torch.tensor([0.6, 0.2, 0.1]).view(1, 3, 1, 1).expand(16, *SHAPE).contiguous()
    prior = StyleGAN(width=4, width_max=16, latent=8, mapping_layers=2, steps=60, batch=4, average=100, lr=5e-3)
    generator = prior.build(2, SHAPE)
    z = torch.randn(16, 8, generator=drawn())
    before = (generator.synthesize(z) - red).abs().mean().item()
    prior.fit(generator, Images(red, torch.full((16,), -1)), None, Run("red"))
    after = (generator.synthesize(z) - red).abs().mean().item()
    assert after < before / 2


def test_augmentation_at_zero_is_none_and_draws_nothing() -> None:
    x, g = torch.rand(4, *SHAPE, generator=drawn()), drawn(1)
    assert augment(x, 0.0, g) is x
    assert torch.equal(g.get_state(), drawn(1).get_state())


def test_pictures_are_moved_and_mirrored_by_whole_pixels() -> None:
    x = torch.rand(40, *SHAPE, generator=drawn())
    y = place(x, 0.8, drawn(3))
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    moves = {(dy, dx): padded[..., 2 + dy : 18 + dy, 2 + dx : 18 + dx] for dy in range(-2, 3) for dx in range(-2, 3)}
    places = [
        {
            (*m, s)
            for m, p in moves.items()
            for s in (1, -1)
            if torch.equal(p[i][..., ::s] if s == 1 else p[i].flip(-1), y[i])
        }
        for i in range(40)
    ]
    assert all(places)
    assert len(set().union(*places)) > 12
    assert {s for found in places for (_, _, s) in found} == {1, -1}


def test_colours_are_scaled_about_grey_and_about_the_mean() -> None:
    grey = torch.full((200, 3, 4, 4), 0.25)
    change = recolour(grey, 0.8, drawn())[:, 0, 0, 0] - 0.25
    assert change.abs().max() <= 0.5
    assert (change == 0).float().mean().item() == pytest.approx(0.2, abs=0.1)
    assert torch.equal(recolour(grey, 0.0, drawn()), grey)


def test_augmentation_has_second_derivatives_and_treats_each_picture_alone() -> None:
    x = torch.rand(3, *SHAPE, generator=drawn()).requires_grad_(True)
    y = augment(x, 0.8, drawn(5))
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), x)
    assert second.abs().sum() > 0
    changed = x.detach().clone()
    changed[1] = 0
    assert torch.equal(augment(changed, 0.8, drawn(5))[[0, 2]], y[[0, 2]])
