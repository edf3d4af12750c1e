from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from scipy import stats
from torch import nn

from unveil.defenses.mid import MID, Bottleneck, divergence
from unveil.defenses.settled_noise import normal
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.training.fit import fit
from unveil.harness.types import Access, Classifier, Images, Step, View
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Progress, Run
from unveil.harness.words.spec import Spec

RUN = Run("mid")
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = Images(torch.rand(24, 3, 16, 16, generator=GENERATOR), torch.arange(24) % 3)
KEY = torch.tensor(7)


def _net(defense: MID | None = None, run: Run = RUN) -> Classifier:
    net = SmallResNet(width=4).build(3, IMAGES.shape, RUN)
    return net if defense is None else defense.prepare(net, run)


def _bottleneck(net: Classifier) -> Bottleneck:
    found = net.head.get_submodule("bottleneck")
    assert isinstance(found, Bottleneck)
    return found


def test_divergence_by_hand_and_against_torch() -> None:
    assert float(divergence(torch.tensor([[0.5]]), torch.tensor([[0.1]]))) == pytest.approx(1.932585, abs=1e-6)
    m, sigma = torch.randn(5, 7, generator=GENERATOR), torch.rand(5, 7, generator=GENERATOR) + 0.01
    ours = torch.distributions.kl_divergence(
        torch.distributions.Normal(m, sigma), torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    )
    torch.testing.assert_close(divergence(m, sigma), ours.sum(1).mean())


def test_structure_is_the_published_one() -> None:
    net = _net(MID()).eval()
    features = net.features(IMAGES.pixels)
    assert _bottleneck(net).code.weight.shape == (2 * 16, 32)  # k is half of 32 features
    assert _bottleneck(_net(MID(size=5))).code.weight.shape == (10, 32)
    m, sigma = _bottleneck(net).encode(features)
    raw = _bottleneck(net).code(features)
    torch.testing.assert_close(m, raw[:, :16])
    torch.testing.assert_close(sigma, torch.log1p(torch.exp(raw[:, 16:] - 5)))
    logits = MID(noise="mean").prepare(_net(), RUN).eval().logits(IMAGES.pixels)
    assert (logits.exp().sum(1) - 1).abs().min() > 1e-3  # no softmax inside
    assert torch.equal(net.features(IMAGES.pixels), _net().eval().features(IMAGES.pixels))


def test_a_softmax_inside_is_normalised_once_more_by_the_loss() -> None:
    plain, released = (_net(MID(noise="mean", softmax=kind)) for kind in (False, True))
    assert plain.state_dict().keys() == released.state_dict().keys()
    o, p = (net.eval().logits(IMAGES.pixels) for net in (plain, released))
    torch.testing.assert_close(p, o.softmax(1))
    loss = MID(softmax=True).loss(
        {}, Step(IMAGES.pixels, IMAGES.labels, released.run(IMAGES.pixels), released, 0, 1, RUN)
    )
    assert float(loss["kl"].detach()) > 0  # it still finds its bottleneck


def test_noise_is_standard_normal_and_independent_for_any_two_rows() -> None:
    rows = torch.randn(3000, 6, generator=GENERATOR)
    drawn = normal(rows, KEY, 10)
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3
    near = normal(rows.nextafter(torch.tensor(9.0)), KEY, 10)
    others = (near, normal(rows.flip(1), KEY, 10), normal(rows, KEY + 1, 10), drawn.roll(1, 0), drawn.roll(1, 1))
    for other in others:
        correlation = torch.corrcoef(torch.stack([drawn.flatten(), other.flatten()]))[0, 1]
        assert abs(float(correlation)) < 5 / math.sqrt(drawn.numel())
    assert torch.equal(normal(-torch.zeros(1, 3), KEY, 4), normal(torch.zeros(1, 3), KEY, 4))


def test_noise_in_use_is_a_function_of_the_picture_and_nothing_else() -> None:
    head = _net(MID()).eval().head
    features = torch.randn(6, 32, generator=GENERATOR)
    whole = head(features)
    head(torch.randn(3, 32, generator=GENERATOR))  # somebody asks in between
    assert torch.equal(head(features), whole)
    torch.testing.assert_close(head(features[2:3]), whole[2:3])  # whoever shares the batch
    m = MID(noise="mean").prepare(_net(), RUN).eval().head(features)
    assert not torch.allclose(m, whole, atol=1e-5)
    far = [head(features + 1e-4 * i) for i in range(200)]  # fresh noise wherever an attack moves to
    spread = torch.stack(far).std(0)
    sigma = _bottleneck(_net(MID())).encode(features)[1]
    weight = head.get_submodule("linear").weight
    assert isinstance(weight, torch.Tensor)
    torch.testing.assert_close(spread, (sigma**2 @ (weight**2).T).sqrt(), rtol=0.3, atol=2e-3)


def test_training_draws_fresh_noise_at_every_step() -> None:
    bottleneck = _bottleneck(_net(MID(noise="mean"))).train()
    features = torch.randn(4, 32, generator=GENERATOR)
    one, two = bottleneck(features), bottleneck(features)
    assert not torch.equal(one, two)
    assert int(bottleneck.steps) == 2
    assert torch.equal(bottleneck.eval()(features), bottleneck.encode(features)[0])
    assert int(bottleneck.steps) == 2


def test_the_view_counts_and_differentiates_it() -> None:
    net = _net(MID()).eval()
    view = View(net, Access.WHITE_BOX, IMAGES.shape)
    x = IMAGES.pixels[:4].clone().requires_grad_(True)
    features, logits = view.features_and_logits(x)
    (slope,) = torch.autograd.grad(logits.logsumexp(1).sum(), x)
    assert slope.abs().sum() > 0
    assert view.spent.gradients == 4
    assert torch.equal(logits, net.head(features))


def test_loss_is_beta_times_the_divergence_and_reaches_features_and_code() -> None:
    net = _net(MID(beta=0.5)).train()
    forward = net.run(IMAGES.pixels)
    step = Step(IMAGES.pixels, IMAGES.labels, forward, net, 0, 2, RUN)
    terms = MID(beta=0.5).loss({"ce": torch.zeros(())}, step)
    assert terms.keys() == {"ce", "kl"}
    torch.testing.assert_close(terms["kl"], 0.5 * divergence(*_bottleneck(net).encode(forward.features)))
    terms["kl"].backward()
    for parameter in (_bottleneck(net).code.weight, next(net.stages["stem"].parameters())):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("noise", ["sample", "mean"])
def test_training_lowers_the_divergence_and_resumes_bit_for_bit(
    tmp_path: Path, noise: Literal["sample", "mean"], interrupted: Callable[[int], Progress]
) -> None:
    defense, recipe = MID(beta=0.1, noise=noise), Recipe(epochs=3, batch=12, views=0, lr=1e-2)
    whole = _net(defense)
    history = fit(whole, (defense,), IMAGES, IMAGES, recipe, RUN)
    curve = history.curves["loss/kl"]
    assert curve[-1] < curve[0]
    broken = Run("mid", scratch=tmp_path, shown=interrupted(3))
    with pytest.raises(KeyboardInterrupt):
        fit(_net(defense), (defense,), IMAGES, IMAGES, recipe, broken)
    resumed = _net(defense)
    again = fit(resumed, (defense,), IMAGES, IMAGES, recipe, dataclasses.replace(RUN, scratch=tmp_path))
    assert again == history
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    logits = whole.logits(IMAGES.pixels)
    assert torch.equal(logits, resumed.logits(IMAGES.pixels))
    # whoever loads it has another run, and finds the noise it was measured with
    other = _net(defense, Run("an attack"))
    assert not torch.equal(_bottleneck(other).seed, _bottleneck(whole).seed)
    other.load_state_dict(whole.state_dict())
    assert torch.equal(logits, other.eval().logits(IMAGES.pixels))
    assert torch.equal(logits, copy.deepcopy(whole).logits(IMAGES.pixels))


def test_no_beta_is_no_bottleneck() -> None:
    bare = _net()
    net = MID(size=4).at_zero().prepare(bare, RUN)
    assert net is bare
    assert isinstance(net.head, nn.Linear)


def test_nonsense_is_refused_with_the_reason() -> None:
    with pytest.raises(PluginError, match=r"bottleneck already(.|\n)*once in the stack"):
        MID().prepare(_net(MID()), RUN)
    net = _net()
    net.head = nn.Sequential(nn.Linear(32, 3))
    with pytest.raises(PluginError, match="head of type Sequential"):
        MID().prepare(net, RUN)
    step = Step(IMAGES.pixels, IMAGES.labels, _net().run(IMAGES.pixels), _net(), 0, 2, RUN)
    with pytest.raises(PluginError, match="does not find its bottleneck: the head is Linear"):
        MID().loss({"ce": torch.zeros(())}, step)
    for settings in ({"beta": -0.1}, {"beta": float("inf")}, {"size": 0}, {"noise": "none"}):
        with pytest.raises(UnveilError, match=next(iter(settings))):
            plugin_settings.make("defenses", Spec("mid", settings), Path.cwd())
