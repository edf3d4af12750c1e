"""T-ACGAN: its losses, its first update, how many labels it asks for and when, and that it learns from them."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks.priors import gan
from unveil.attacks.priors.conditional_gan import draw
from unveil.attacks.priors.conditional_networks import GPLG
from unveil.attacks.priors.t_acgan import TACGAN, LabelledGAN, TwoHeads, discriminator_loss, generator_loss
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Images, Run, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import UnveilError

SHAPE = (1, 16, 16)
PRIOR = TACGAN(width=2, steps=4, unlabelled=2, batch=6, critic_steps=2)


def bright() -> Classifier:
    """Sees three degrees of brightness."""
    head = nn.utils.skip_init(nn.Linear, 256, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([-8.0, 0.0, 8.0])[:, None].expand(3, 256) / 256)
        head.bias.copy_(torch.tensor([0.0, 0.2, 0.0]))
    return Classifier({"flat": nn.Flatten()}, head, classes=3, mean=(0.5,), std=(0.5,))


def labels() -> View:
    return View(bright(), Access.LABELS, SHAPE)


def fitted(prior: TACGAN, public: Images, run: Run, view: View) -> tuple[LabelledGAN, dict[str, list[float]]]:
    generator = prior.build(3, SHAPE)
    curves = prior.fit(generator, public, view, run)
    return generator, {key: list(values) for key, values in curves.items()}


def test_losses_are_the_worked_ones() -> None:
    class Given(nn.Module):
        """Reads logits straight off the picture."""

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, 0], x[:, 1:]

    rng = np.random.default_rng(0)
    x, fake = rng.normal(size=(4, 4)), rng.normal(size=(5, 4))
    y = np.array([0, 1, 2, 1, 0])

    def softplus(v: np.ndarray) -> float:
        return float(np.log1p(np.exp(v)).mean())

    wrong = float((np.log(np.exp(fake[:, 1:]).sum(1)) - fake[np.arange(5), 1 + y]).mean())
    given = torch.tensor(x), torch.tensor(fake), torch.tensor(y)
    found = discriminator_loss(Given(), *given, 1.5)
    assert found.item() == pytest.approx(softplus(-x[:, 0]) + softplus(fake[:, 0]) + 1.5 * wrong)
    found = discriminator_loss(Given(), *given[:2], None, 0.0)
    assert found.item() == pytest.approx(softplus(-x[:, 0]) + softplus(fake[:, 0]))
    found = generator_loss(given[1][:, 0], given[1][:, 1:], given[2], 1.5)
    assert found.item() == pytest.approx(softplus(-fake[:, 0]) + 1.5 * wrong)


def test_the_first_updates_are_the_written_ones(public: Images, run: Run) -> None:
    """Adam's first step with betas (0, .9) is -lr g / |g|; the generator goes first, and classes count at once."""
    prior = TACGAN(width=2, steps=1, unlabelled=0, batch=5, critic_steps=1, lr=1e-3)
    with seeded(run, "weights"):
        g, d = GPLG(SHAPE, 3, 2), TwoHeads(SHAPE, 3, 2)
    z, y = draw(run, "generator", 0, 5, 3)
    real, who = d(g(z, y))
    loss = F.softplus(-real).mean() + 1.5 * F.cross_entropy(who, y)
    slopes = torch.autograd.grad(loss, list(g.parameters()))
    after, curves = fitted(prior, public, run, labels())
    assert curves["generator"][0] == pytest.approx(loss.item(), abs=1e-5)
    moved(g, slopes, after.network)
    g.load_state_dict({**g.state_dict(), **dict(after.network.named_parameters())})
    z, y = draw(run, "discriminator", 0, 5, 3)
    with torch.no_grad():
        fake = g(z, y)
    x = public.at(gan.PublicBatches(public, 5, flip=False, run=run).indices("real", 0))
    (real, _), (made, who) = d(x), d(fake)
    said = bright().logits(fake).argmax(1)
    loss = F.softplus(-real).mean() + F.softplus(made).mean() + 1.5 * F.cross_entropy(who, said)
    assert curves["discriminator"][0] == pytest.approx(loss.item(), abs=1e-4)
    moved(d, torch.autograd.grad(loss, list(d.parameters())), after.critic)


def moved(before: nn.Module, slopes: tuple[Tensor, ...], after: nn.Module) -> None:
    for old, slope, new in zip(before.parameters(), slopes, after.parameters(), strict=True):
        clear = slope.abs() > 1e-5  # of smaller ones rounding decides the sign
        assert clear.any() or slope.abs().max() < 1e-5
        torch.testing.assert_close((new - old)[clear], -1e-3 * slope.sign()[clear], atol=5e-6, rtol=0)


def test_labels_are_counted_and_none_is_asked_before_classes_count(public: Images, run: Run) -> None:
    view = labels()
    fitted(PRIOR, public, run, view)
    assert (view.spent.queries, view.spent.gradients) == ((4 - 2) * 2 * 6, 0)
    for silent in (replace(PRIOR, unlabelled=4), replace(PRIOR, class_weight=0.0)):
        view = labels()
        fitted(silent, public, run, view)
        assert view.spent.queries == 0


def test_same_identity_same_bits_and_a_kill_changes_nothing(
    public: Images, run: Run, interrupted: tuple[Run, Run]
) -> None:
    whole, curves = fitted(PRIOR, public, run, labels())
    other, _ = fitted(PRIOR, public, Run("other"), labels())
    killed, heir = interrupted
    killed.shown.left = 4  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        fitted(PRIOR, public, killed, labels())
    view = labels()
    resumed, again = fitted(PRIOR, public, heir, view)
    assert curves == again
    assert view.spent.queries == 24
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert not torch.equal(whole.critic.who.weight, other.critic.who.weight)
    assert not resumed.training


def agreement(made: LabelledGAN) -> float:
    """How often the discriminator labels pictures that it has not seen as the target does."""
    z, y = draw(Run("held out"), "held out", 0, 300, 3)
    x = made.synthesize_as(z, y)
    return float((made.class_logits(x).argmax(1) == bright().logits(x).argmax(1)).double().mean())


def test_its_classes_come_to_be_the_targets(run: Run) -> None:
    """With labels, pictures of a class are labelled so; without, by chance."""
    shades = torch.rand(64, 1, 1, 1, generator=torch.Generator().manual_seed(3)).expand(-1, *SHAPE)
    public = Images(shades.contiguous(), torch.full((64,), -1))
    prior = TACGAN(width=4, steps=60, unlabelled=5, batch=24, critic_steps=2, lr=2e-3)
    hits = []
    for one in (prior, replace(prior, class_weight=0.0)):
        made, _ = fitted(one, public, run, labels())
        z, y = draw(Run("held out"), "held out", 0, 300, 3)
        hits.append(float((bright().logits(made.synthesize_as(z, y)).argmax(1) == y).double().mean()))
        if one is prior:
            assert agreement(made) > 0.8
    assert hits[0] > hits[1] + 0.2
    assert hits[1] < 0.6


def test_realism_and_classes_are_each_pictures_own(run: Run) -> None:
    made = copy.deepcopy(TACGAN(width=2).build(3, SHAPE)).eval()
    x = torch.rand(4, *SHAPE, generator=run.generator("x"))
    torch.testing.assert_close(made.realism(x)[:1], made.realism(x[:1]))
    torch.testing.assert_close(made.class_logits(x)[1:2], made.class_logits(x[1:2]))
    z = made.sample(run.generators("z", [(0,), (1,)]))
    assert made.synthesize(z).shape == (2, *SHAPE)


def test_without_a_target_it_says_so(public: Images, run: Run) -> None:
    with pytest.raises(UnveilError, match="no target"):
        PRIOR.fit(PRIOR.build(3, SHAPE), public, None, run)
