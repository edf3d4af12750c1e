"""LOKT: PLG-MI's search on surrogates, which know of the target what its labels say, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.attacks.lokt import LOKT
from unveil.attacks.losses import max_margin
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.priors.t_acgan import TACGAN
from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.steps.distillation import answers, distil, drawn
from unveil.harness.types import Access, Distillation, Images, Ingredients, Run, Spec, Surrogate, TrainedPrior, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError, UnveilError

LABELS, SHAPE = torch.tensor([0, 2]), (3, 8, 8)
STUDENTS = (Spec("plain_cnn", {"width": 4}), Spec("plain_cnn", {"width": 6}))
TINY = LOKT(models=STUDENTS, restarts=2, steps=12)


def test_on_a_surrogate_that_is_the_target_it_is_plg_mi(painted: Classifier, canvas: Ingredients) -> None:
    """And asks the target itself nothing."""
    view = View(painted, Access.LABELS, SHAPE)
    given = replace(canvas, surrogates=(painted,))
    found = replace(TINY, models=STUDENTS[:1]).reconstruct(view, given, LABELS, Run("test"))
    usual = PLGMI(restarts=2, steps=12).reconstruct(View(painted, Access.WHITE_BOX, SHAPE), canvas, LABELS, Run("test"))
    assert torch.equal(found.pixels, usual.pixels)
    assert view.spent.queries == 0


def test_all_surrogates_count_alike(worlds: ModuleType) -> None:
    weights = [worlds.drawn(seed, 192) for seed in (1, 2)]
    judges = [worlds.linear(w, SHAPE).logits for w in weights]
    x, y = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])
    o = [(x.flatten(1) - 0.5) @ w.T for w in weights]
    expected = (max_margin(o[0], y) + max_margin(o[1], y)) / 2
    torch.testing.assert_close(TINY.seen(judges)(x, y), expected)


def test_what_it_asks_for() -> None:
    needs = LOKT().needs()
    assert needs["prior"] == TrainedPrior(Spec("t_acgan"))
    how = Distillation(200, 256, 0.1, 0.9, 5e-4, cosine=True, views=0.5)
    assert [needs[f"surrogate {i}"] for i in range(3)] == [
        Surrogate(Spec("timm", {"architecture": f"densenet{n}", "weights": "hub"}), how, Spec("t_acgan"), 500)
        for n in (121, 161, 169)
    ]
    other = replace(TINY, source=Spec("wgan_gp"), samples=7).needs()["surrogate 0"]
    assert isinstance(other, Surrogate)
    assert (other.source, other.samples) == (Spec("wgan_gp"), 7)
    assert list(replace(TINY, judged_by="discriminator").needs()) == ["prior"]
    prior = TACGAN()
    assert (prior.steps - prior.unlabelled) * prior.critic_steps * prior.batch == 12_160_000


def hits(target: Classifier, images: Images) -> float:
    return float((target.logits(images.pixels).argmax(1) == images.labels).double().mean())


def test_taught_surrogates_lead_to_the_target_and_untaught_ones_to_chance(
    painted: Classifier, canvas: Ingredients
) -> None:
    """With each epoch, surrogates agree more with the target on pictures that they have not seen."""
    assert canvas.prior is not None
    shown, held_out = (drawn(canvas.prior, 3, 600, Run(name)) for name in ("shown", "held out"))
    view = View(painted, Access.LABELS, SHAPE)
    p, truth = answers(view, shown, 1.0, Run("x")), painted.logits(held_out.pixels).argmax(1)
    assert view.spent.queries == 1800
    agreements, rates = [], []
    attack = LOKT(models=STUDENTS[:1], restarts=10, steps=40)
    for epochs in (0, 1, 12):
        net = linear_student()
        if epochs:
            distil(net, p, shown, Distillation(epochs, 50, 0.01, 0.9, 1e-4, cosine=True), Run("taught"))
        agreements.append(float((net.logits(held_out.pixels).argmax(1) == truth).double().mean()))
        given = replace(canvas, surrogates=(net,))
        rates.append(hits(painted, attack.reconstruct(view, given, torch.arange(3), Run("test"))))
    assert agreements[0] < agreements[1] < agreements[2]
    assert agreements[2] > 0.75
    assert rates[0] < 0.6
    assert rates[2] > 0.95


def linear_student() -> Classifier:
    net = torch.nn.utils.skip_init(torch.nn.Linear, 192, 3)
    with torch.no_grad():
        net.weight.copy_(torch.randn(3, 192, generator=torch.Generator().manual_seed(8)) * 0.05)
        net.bias.zero_()
    return Classifier({"flat": torch.nn.Flatten()}, net, classes=3, mean=(0.5,) * 3, std=(0.2,) * 3)


def test_the_discriminator_may_judge_instead(painted: Classifier, canvas: Ingredients) -> None:
    shape = (3, 16, 16)
    target = PlainCNN(width=4).build(3, shape, Run("target"))
    prior = TACGAN(width=2).build(3, shape)
    attack = LOKT(judged_by="discriminator", restarts=1, steps=8)
    view = View(target, Access.LABELS, shape)
    public = Images(torch.zeros(1, *shape), torch.tensor([-1]))
    images = attack.reconstruct(view, Ingredients(prior, public), LABELS, Run("test"))
    first = replace(attack, steps=1, lr=1e-9).reconstruct(view, Ingredients(prior, public), LABELS, Run("test"))

    def margin(x: Tensor) -> float:
        return float(max_margin(prior.class_logits(x), LABELS).mean())

    assert margin(images.pixels) < margin(first.pixels)
    with pytest.raises(UnveilError, match="Canvas, whose discriminator knows no classes"):
        attack.reconstruct(View(painted, Access.LABELS, SHAPE), canvas, LABELS, Run("test"))


@pytest.mark.parametrize("settings", [{"models": ()}, {"models": STUDENTS[:1] * 2}], ids=["none", "twice"])
def test_surrogates_that_say_the_same_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises((PluginError, ValueError), match="equal ones learn the same"):
        replace(TINY, **settings)


def test_as_many_surrogates_as_are_named_must_be_there(painted: Classifier, canvas: Ingredients) -> None:
    view = View(painted, Access.LABELS, SHAPE)
    with pytest.raises(UnveilError, match="given 0 surrogates"):
        TINY.reconstruct(view, canvas, LABELS, Run("test"))
