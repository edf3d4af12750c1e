"""AT-AT: whom a picture is moved towards, how far, and what the target learns of it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unveil.defenses.at_at import ATAT, wrong
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Images, Run, Step
from unveil.harness.words.recipe import Recipe

RUN, CLASSES = Run("at_at"), 4
IMAGES = Images(torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(24) % CLASSES)
PLAIN = Recipe(epochs=100, batch=24, select="last", lr=0.02, flip=False, shift=0, brightness=0)


def net() -> Classifier:
    return SmallResNet(width=4, blocks=(1, 1)).build(CLASSES, IMAGES.shape, RUN)


def test_the_names_are_wrong_and_all_others_are_drawn_equally_often() -> None:
    y = torch.arange(3000) % 3
    drawn = wrong(y, 3, RUN)
    assert not (drawn == y).any()
    assert 900 < int((drawn == (y + 1) % 3).sum()) < 2100
    assert wrong(torch.zeros(5, dtype=torch.long), 2, RUN).tolist() == [1] * 5


def test_the_first_step_by_hand() -> None:
    """From its random place each pixel goes one signed step down the loss, and stays in both boxes."""
    target, defense = net().eval(), ATAT(radius=0.02, step_size=0.015, steps=1)
    x, y = IMAGES.pixels[:6], (IMAGES.labels[:6] + 1) % CLASSES
    u = torch.rand(x.shape, generator=RUN.generator("at_at", "start"))
    at = (x + 0.02 * (2 * u - 1)).clamp(0, 1).requires_grad_(True)
    (g,) = torch.autograd.grad(F.cross_entropy(target.logits(at), y), at)
    free = at.detach() - 0.015 * g.sign()
    wanted = torch.stack([free, x - 0.02]).amax(0)
    wanted = torch.stack([wanted, x + 0.02]).amin(0).clamp(0, 1)
    torch.testing.assert_close(defense.perturbed(target, x, y, RUN), wanted)
    assert (free != wanted).any()  # the box was met


def test_it_moves_towards_the_wrong_person_and_no_further_than_the_box() -> None:
    target, defense = net().eval(), ATAT(radius=0.05, step_size=0.01, steps=10)
    x, y = IMAGES.pixels, (IMAGES.labels + 1) % CLASSES
    moved = defense.perturbed(target, x, y, RUN)
    assert float((moved - x).abs().max()) <= 0.05 + 1e-6
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    with torch.no_grad():
        assert F.cross_entropy(target.logits(moved), y) < F.cross_entropy(target.logits(x), y)


def test_one_step_of_training() -> None:
    """The loss is of the perturbed pictures; weights have no gradient of the search, and statistics are its batch's."""
    target, again = net().train(), net()
    x, y = IMAGES.pixels, IMAGES.labels
    step = Step(x, y, target.run(x), target, 0, 1, RUN)
    before = [p.clone() for p in target.parameters()]
    again.load_state_dict(target.state_dict())
    terms = ATAT().loss({"ce": torch.tensor(2.0)}, step)
    assert float(terms["ce"]) == 2
    other = wrong(y, CLASSES, RUN)
    moved = ATAT().perturbed(again.eval(), x, other, RUN)
    torch.testing.assert_close(terms["obey"], 0.08 * F.cross_entropy(again.train().logits(moved), other))
    assert target.training
    assert all(p.grad is None for p in target.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True))
    for (name, a), b in zip(target.named_buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.parametrize("stack", [[], [TLDMI(freeze="stem")]])
def test_a_target_learns_to_obey(stack: list[TLDMI]) -> None:
    """Perturbations that it was not shown name whom they like, and it still names everybody whom it should."""
    missed = {}
    for weight in (0.0, 1.0):
        defense, target = ATAT(weight=weight, radius=0.02, step_size=0.005), net()
        for one in stack:
            target = one.prepare(target, RUN)
        history = fit(target, [*stack, defense], IMAGES, IMAGES, PLAIN, RUN)
        assert bool(weight) == ("loss/obey" in history.curves)
        other = wrong(IMAGES.labels, CLASSES, Run("later"))
        moved = defense.perturbed(target.eval(), IMAGES.pixels, other, Run("later"))
        with torch.no_grad():
            missed[weight] = float(F.cross_entropy(target.logits(moved), other))
            named = target.logits(IMAGES.pixels).argmax(1)
        assert torch.equal(named, IMAGES.labels)
    assert missed[1.0] < 0.2 * missed[0.0], missed
