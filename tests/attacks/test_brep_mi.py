from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.attacks.brep_mi import BREPMI
from unveil.harness.types import Access, Budget, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

SHAPE = (1, 2, 3)
LABELS = torch.tensor([0, 2])


def latents(images: Images) -> Tensor:
    return (images.pixels.flatten(1) - 0.5) / 0.1


@pytest.fixture
def view(target: Classifier) -> View:
    return View(target, Access.LABELS, SHAPE)


def test_a_sphere_is_inside_from_29_of_32_on() -> None:
    inside = torch.arange(32)[None] < torch.tensor([[28], [29], [32]])
    assert BREPMI().surrounded(inside).tolist() == [False, True, True]


@pytest.mark.parametrize("radius", [2.0, 12.0])
def test_the_move_is_the_worked_one(radius: float) -> None:
    """29 inside: R grows to 1.3 R before g is divided by it; the step is a third of the old R, and 3 at most."""
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(1, 32, 4, generator=generator)
    inside = torch.ones(1, 32, dtype=torch.bool)
    inside[0, [3, 7, 20]] = False
    r = torch.tensor([radius])
    moved, grown = BREPMI().move(torch.zeros(1, 4), delta, inside, r)
    outside = delta[0, 3] + delta[0, 7] + delta[0, 20]
    torch.testing.assert_close(moved[0], -min(radius / 3, 3) * outside / 32 / (1.3 * radius))
    assert grown.item() == pytest.approx(1.3 * radius)
    inside[0, 21] = False
    moved, same = BREPMI().move(torch.full((1, 4), 1.5), -delta.abs(), inside, r)
    assert same.item() == radius
    assert torch.equal(moved, torch.full((1, 4), 1.5))  # pushed up, and held at the clip


def test_finds_the_middle_of_a_slab(target: Classifier, view: View, ingredients: Ingredients, run: Run) -> None:
    """Class 1 is ``|z_0| < 1``: what fits the largest sphere lies in its middle."""
    with torch.no_grad():  # logits -10 z_0 - 10, 0 and 10 z_0 - 10: the target sees .1 z
        target.head.weight.zero_()
        target.head.weight[0, 0], target.head.weight[2, 0] = -100, 100
        target.head.bias.copy_(torch.tensor([-10.0, 0.0, -10.0]))
    attack = BREPMI(queries=6000, radius=0.3, growth=1.1)
    z = latents(attack.reconstruct(view, ingredients, torch.tensor([1]), run))[0]
    assert z[0].abs() < 0.15
    assert 0.8 < run.kept["radius"].item() < 3  # in six dimensions some directions of a larger sphere stay inside


def test_every_identity_keeps_to_its_own_budget(view: View, ingredients: Ingredients, run: Run) -> None:
    images = BREPMI(queries=500, patience=100_000).reconstruct(view, ingredients, LABELS, run)
    assert images.labels.tolist() == [0, 2]
    assert run.kept["used"].tolist() == [256 + 7 * 33] * 2  # the first samples were charged to both, and asked once
    assert view.spent.queries == 256 + 7 * 66
    assert not view.spent.refused
    assert not run.notes


def test_a_budget_in_the_plan_is_a_limit_per_identity(target: Classifier, ingredients: Ingredients, run: Run) -> None:
    view = View(target, Access.LABELS, SHAPE, Budget(queries=300, identities=2))
    BREPMI().reconstruct(view, ingredients, LABELS, run)
    assert run.kept["used"].tolist() == [289, 289]
    assert view.spent.queries == 256 + 66
    assert not view.spent.refused
    assert "2 of 2 identities stopped at the budget of 300 queries per identity" in run.notes


def test_patience_is_counted_in_steps_without_growth(view: View, ingredients: Ingredients, run: Run) -> None:
    BREPMI(radius=1e4, patience=3).reconstruct(view, ingredients, LABELS, run)  # no such sphere is ever inside
    assert run.kept["grown"].tolist() == [0, 0]
    assert (run.kept["used"] >= 256 + 3 * 33).all()
    assert (run.kept["used"] < 50_000 - 33).all()
    assert "the sphere of 2 of 2 identities never grew" in run.notes


def test_who_is_never_found_still_has_a_picture(
    target: Classifier, view: View, ingredients: Ingredients, run: Run
) -> None:
    with torch.no_grad():
        target.head.bias.copy_(torch.tensor([0.0, 0.0, -1e9]))
    images = BREPMI(first_queries=300, queries=400).reconstruct(view, ingredients, LABELS, run)
    assert images.labels.tolist() == [0, 2]
    assert run.kept["used"].tolist() == [256 + 4 * 33, 300]
    assert run.notes[0].startswith("no sample was labelled as 1 of 2 identities in 300 queries")


def test_goes_on_after_a_kill_as_if_nothing_had_been(
    view: View, target: Classifier, ingredients: Ingredients, interrupted: tuple[Run, Run]
) -> None:
    attack = BREPMI(queries=1000)
    whole = attack.reconstruct(view, ingredients, LABELS, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(View(target, Access.LABELS, SHAPE), ingredients, LABELS, killed)
    taken_up = View(target, Access.LABELS, SHAPE)
    resumed = attack.reconstruct(taken_up, ingredients, LABELS, heir)
    assert torch.equal(resumed.pixels, whole.pixels)
    assert taken_up.spent == view.spent
