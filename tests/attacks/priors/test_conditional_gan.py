from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks import augment
from unveil.attacks.priors import conditional_gan
from unveil.attacks.priors.conditional_gan import (
    ConditionalGAN,
    Pairs,
    ProjectionGAN,
    discriminator_loss,
    draw,
    generator_losses,
    select,
)
from unveil.attacks.priors.conditional_networks import DPLG, GPLG, ConditionalBatchNorm, Down, Up
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Images, View
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run

SHAPE = (1, 16, 16)
PRIOR = ConditionalGAN(top=4, width=4, steps=8, batch=6, critic_steps=2)


Asked = Callable[[], View]


def fitted(prior: ConditionalGAN, public: Images, run: Run, view: View) -> tuple[ProjectionGAN, dict[str, list[float]]]:
    generator = prior.build(3, SHAPE)
    curves = prior.fit(generator, public, view, run)
    return generator, {key: list(values) for key, values in curves.items()}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_sizes_have_the_published_parameter_counts() -> None:
    with seeded(Run("0")):
        assert count(GPLG((3, 64, 64), 1000)) == 17_973_379
        assert count(DPLG((3, 64, 64), 1000)) == 11_165_441


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 64, 64), (1, 128, 128), (3, 112, 112)])
def test_all_sizes_fit_together(shape: tuple[int, int, int]) -> None:
    with seeded(Run("0")):
        g, d = GPLG(shape, 5, 2), DPLG(shape, 5, 2)
        x = g(torch.randn(3, 128), torch.tensor([0, 4, 4]))
    assert x.shape == (3, *shape)
    assert 0 <= x.min() < x.max() <= 1
    assert d(x, torch.tensor([0, 4, 4])).shape == (3,)


def test_conditional_norm_is_plain_at_first_and_then_scales_and_shifts_by_class() -> None:
    with seeded(Run("0")):
        norm, y = ConditionalBatchNorm(2, 3), torch.tensor([0, 1, 2, 1])
    x = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    plain = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(norm(x, y), plain)
    norm.scale.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    norm.shift.weight.data = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [4.0, 2.0]])
    expected = torch.tensor([3.0, 4.0])[:, None, None] * plain[1] + torch.tensor([-1.0, 0.0])[:, None, None]
    torch.testing.assert_close(norm(x, y)[1], expected)
    mean = torch.tensor([3.0, 4.0])[:, None, None] * plain + torch.tensor([1.0, 1.0])[:, None, None]
    torch.testing.assert_close(norm(x, None), mean)


def test_blocks_are_the_written_ones_with_the_shortcut_the_cheap_way_round() -> None:
    with seeded(Run("0")):
        up, down, first = Up(4, 3, 2).eval(), Down(3, 4), Down(3, 4, first=True)
        x, small, y = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 4, 4), torch.tensor([0, 1])

    def double(h: Tensor) -> Tensor:
        return F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)

    h = up.conv2(F.relu(up.norm2(up.conv1(double(F.relu(up.norm1(small, y)))), y)))
    torch.testing.assert_close(up(small, y), h + up.shortcut(double(small)))
    h = down.conv2(F.relu(down.conv1(F.relu(x))))
    torch.testing.assert_close(down(x), F.avg_pool2d(h + down.shortcut(x), 2))
    h = first.conv2(F.relu(first.conv1(x)))
    torch.testing.assert_close(first(x), F.avg_pool2d(h, 2) + first.shortcut(F.avg_pool2d(x, 2)))


def test_every_layer_of_the_discriminator_has_norm_one_and_the_class_is_projected() -> None:
    with seeded(Run("0")):
        d = DPLG((1, 16, 16), 5, 4)
        x, y = torch.rand(2, 1, 16, 16), torch.tensor([1, 3])
    for _ in range(50):
        d(x, y)
    d.eval()
    layers = [m for m in d.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(layers) == 11
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-2)
    v = F.relu(d.blocks(x)).sum((2, 3))
    torch.testing.assert_close(d(x, y) - d(x, None), (d.embed.weight[y] * v).sum(1))


def test_losses_are_the_worked_ones(asked: Asked) -> None:
    def given(x: Tensor, y: Tensor) -> Tensor:
        """Reads the score straight off the picture, plus the class."""
        return x.flatten(1)[:, 0] + y

    def scores(*values: float) -> Tensor:
        return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 16, 16)

    zero, one = torch.tensor([0, 0]), torch.tensor([1, 1])
    loss = discriminator_loss(given, scores(0.25, 3.0), zero, scores(-1.5, -3.0), one)
    assert loss.item() == pytest.approx(0.75 / 2 + (0.5 + 0) / 2)  # relu(1-.25), relu(1-3); relu(1-.5), relu(1-2)
    view, x, y = asked(), scores(0.25, 0.5), torch.tensor([0, 2])
    u = torch.full((2, augment.NUMBERS), 0.5)  # in the middle, neither coloured nor turned
    hinge, margin = generator_losses(given, view, x, augment.published(0.5)(x, u), y)
    assert hinge.item() == pytest.approx(-(0.25 + 2.5) / 2)
    o = view.logits(x)
    rest = torch.stack([o[0, 1:].max() - o[0, 0], o[1, :2].max() - o[1, 2]])
    torch.testing.assert_close(margin, rest.mean())


def test_the_best_pictures_of_each_class_are_those_of_a_plain_sort(
    public: Images, run: Run, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    monkeypatch.setattr(conditional_gan, "CHUNK", 4)
    twins = Images(torch.cat([public.pixels, public.pixels[:3]]), torch.full((12,), -1))
    view = asked()
    p = asked().scores(twins.pixels).numpy()
    expected = np.argsort(-p, axis=0, kind="stable").T
    assert np.array_equal(select(view, twins, 4, run).numpy(), expected[:, :4])
    assert view.spent.queries == 12
    assert select(asked(), twins, 99, run).shape == (3, 12)


def test_batches_are_pairs_of_a_class_and_one_of_its_pictures(public: Images, run: Run) -> None:
    selected = torch.tensor([[0, 1], [1, 2], [8, 0]])
    pairs = Pairs(public, selected, 4, run)
    seen = set()
    for i in range(20):
        for x, y in zip(*pairs.batch(i), strict=True):
            noise = x - public.pixels
            near = ((noise >= 0) & (noise < 1 / 256 + 1e-6)).flatten(1).all(1).nonzero()
            seen.add((int(y), int(near)))
    assert seen == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 8), (2, 0)}
    assert not torch.equal(pairs.batch(0)[0], pairs.batch(len(selected) * 2)[0])


@pytest.mark.parametrize("released", [False, True])
def test_the_first_updates_are_the_written_ones(public: Images, run: Run, asked: Asked, released: bool) -> None:
    """Adam's first step with betas (0, .9) is -lr g / |g|; the generator goes first, and the target helps it alone."""
    prior = ConditionalGAN(top=4, width=4, steps=1, batch=6, critic_steps=1, lr=1e-3)
    if released:
        prior = dataclasses.replace(prior, signed=True, turned=0.5)
    with seeded(run, "weights"):
        g, d = GPLG(SHAPE, 3, 4, signed=released), DPLG(SHAPE, 3, 4)
    view = asked()
    u = torch.rand(6, augment.NUMBERS, generator=run.generator("augment", 0))
    z, y = draw(run, "generator", 0, 6, 3)
    fake = g(z, y)
    assert (fake.min() < -0.01) == released
    o = view.logits(augment.published(0.5, prior.turned, signed=released)(fake, u))
    others = o.masked_fill(F.one_hot(y, 3).bool(), -torch.inf).amax(1)
    loss = -d(fake, y).mean() + 0.2 * (others - o.gather(1, y[:, None])[:, 0]).mean()
    slopes = [*zip(g.parameters(), torch.autograd.grad(loss, list(g.parameters())), strict=True)]
    after, curves = fitted(prior, public, run, asked())
    assert curves["generator"][0] + 0.2 * curves["margin"][0] == pytest.approx(loss.item(), abs=1e-5)
    for (p, slope), new in zip(slopes, after.network.parameters(), strict=True):
        moved(p, slope, new, 1e-3)
    x, y_real = Pairs(public, select(view, public, 4, run), 6, run).batch(0)
    z, y = draw(run, "discriminator", 0, 6, 3)
    with torch.no_grad():
        for p, new in zip(g.parameters(), after.network.parameters(), strict=True):
            p.copy_(new)
        fake = g(z, y)
    score = d(torch.cat([x, fake]), torch.cat([y_real, y]))
    loss = (1 - score[:6]).clamp(min=0).mean() + (1 + score[6:]).clamp(min=0).mean()
    assert curves["discriminator"][0] == pytest.approx(loss.item(), abs=1e-5)
    for p, slope, new in zip(
        d.parameters(), torch.autograd.grad(loss, list(d.parameters())), after.critic.parameters(), strict=True
    ):
        moved(p, slope, new, 1e-3)


def moved(before: Tensor, slope: Tensor, after: Tensor, lr: float) -> None:
    clear = slope.abs() > 1e-5  # of smaller ones rounding decides the sign
    assert clear.any() or slope.abs().max() < 1e-5
    torch.testing.assert_close((after - before)[clear], -lr * slope.sign()[clear], atol=5e-6, rtol=0)


def test_same_identity_same_bits_and_both_networks_learn(public: Images, run: Run, asked: Asked) -> None:
    view = asked()
    first, curves = fitted(PRIOR, public, run, view)
    again, _ = fitted(PRIOR, public, run, asked())
    other, _ = fitted(PRIOR, public, Run("other"), asked())
    one, two = first.state_dict(), other.state_dict()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in one.items())
    assert not torch.equal(one["network.start.0.weight"], two["network.start.0.weight"])
    assert {len(values) for values in curves.values()} == {8}
    assert (view.spent.queries, view.spent.gradients) == (9 + 8 * 6, 8 * 6)


def test_goes_on_after_a_kill_as_if_nothing_had_been(
    public: Images, interrupted: tuple[Run, Run], asked: Asked
) -> None:
    whole = asked()
    expected, curves = fitted(PRIOR, public, Run("test"), whole)
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        fitted(PRIOR, public, killed, asked())
    assert killed.load("conditional_gan") is not None
    view = asked()
    resumed, resumed_curves = fitted(PRIOR, public, heir, view)
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in expected.state_dict().items())
    assert curves == resumed_curves
    assert view.spent == whole.spent


def test_a_picture_shows_its_class_or_nobody_and_only_its_own_latent(public: Images, run: Run, asked: Asked) -> None:
    prior, _ = fitted(PRIOR, public, run, asked())
    z, y = draw(run, "shown", 0, 3, 3)
    shown = prior.synthesize_as(z, y)
    torch.testing.assert_close(shown, torch.cat([prior.synthesize_as(z[i, None], y[i, None]) for i in range(3)]))
    assert not torch.allclose(shown, prior.synthesize_as(z, (y + 1) % 3), atol=1e-4)
    for block in prior.network.blocks:
        for norm in (block.norm1, block.norm2):
            for part in (norm.scale, norm.shift):
                part.weight.data[:] = part.weight.data.mean(0)
    torch.testing.assert_close(prior.synthesize(z), prior.synthesize_as(z, y))


def test_without_a_target_it_says_so(public: Images, run: Run) -> None:
    with pytest.raises(UnveilError, match="no target"):
        PRIOR.fit(PRIOR.build(3, SHAPE), public, None, run)
