"""Which pictures share a batch, and what colours and crops training sees."""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter

import pytest
import torch

from unveil.harness.assets import torchvision_ops
from unveil.harness.words.augmentation import Changes, jittered
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.errors import DataError, PlanError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

RUN = Run("recipe")
PUBLISHED = Recipe(batch=64, people=16, each=4)  # BiDO's


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_batches_hold_so_many_people_with_so_many_pictures_each() -> None:
    labels = torch.arange(1000).repeat_interleave(6)
    few = Recipe(batch=64).batches(labels, 0, RUN)
    assert len(labels[few[0]].unique()) > 58  # whose label term sees next to no pair
    batches = PUBLISHED.batches(labels, 0, RUN)
    assert len(batches) == 6_000 // 64 + 1
    for batch in batches:
        assert sorted(Counter(labels[batch].tolist()).values()) == [4] * 16
        assert len(batch.unique()) == 64
    shown = torch.cat(batches)
    assert set(labels[shown].bincount().tolist()) == {4, 8}  # one turn or two for everybody
    assert int(shown.bincount(minlength=6_000).max()) == 2  # six pictures, eight shown
    assert all(torch.equal(a, b) for a, b in zip(batches, PUBLISHED.batches(labels, 0, RUN), strict=True))
    assert not torch.equal(batches[0], PUBLISHED.batches(labels, 1, RUN)[0])


def test_people_of_few_pictures_repeat_them_and_others_do_not() -> None:
    labels = torch.tensor([0] * 3 + [1] * 9 + [2] * 4)  # in one batch of all three people
    recipe = Recipe(batch=12, people=3, each=4)
    for epoch in range(5):
        for batch in recipe.batches(labels, epoch, RUN):
            assert Counter(labels[batch].tolist()) == {0: 4, 1: 4, 2: 4}
            assert sorted(Counter(batch[labels[batch] == 0].tolist()).values()) == [1, 1, 2]
            assert len(batch[labels[batch] > 0].unique()) == 8
    with pytest.raises(DataError, match=r"batches of 4 people(.|\n)*3 have training pictures"):
        Recipe(batch=8, people=4, each=2).batches(labels, 0, RUN)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"people": 16}, "people = 16 with each = None"),
        ({"people": 8, "each": 4}, "a batch of 32"),
        ({"people": 16, "each": 4, "balance": True}, "balance"),
        ({"crop": (0.9, 0.5)}, r"crop = \[0\.9, 0\.5\]"),
        ({"crop": (0.0, 0.5)}, r"crop = \[0\.0, 0\.5\]"),
        ({"crop_ratio": (0.5, 2.0)}, "no crop"),
    ],
)
def test_what_contradicts_itself_is_said(settings: dict, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Recipe(**settings)


def test_new_draws_leave_the_old_ones_alone() -> None:
    old = Recipe().draw(5, generator())
    new = Recipe(crop=(0.5, 1.0), contrast=0.2, saturation=0.1, hue=0.1).draw(5, generator())
    assert old.crop is None
    assert old.jitter is None
    assert all(torch.equal(getattr(old, name), getattr(new, name)) for name in ("flip", "shift", "gain"))
    views = Recipe(crop=(0.5, 1.0), hue=0.5, views=3).draw_views(5, RUN)
    assert views.numbers is not None
    assert views.jitter is not None
    assert views.numbers.shape == (15, NUMBERS)
    assert views[torch.tensor([4, 9])].jitter.shape == (2, 3)  # type: ignore[union-attr]
    assert float(views.jitter[:, :2].std()) == 0
    assert 0.3 < float(views.jitter[:, 2].abs().max()) <= 0.5


def test_crops_are_those_of_attacks() -> None:
    x, u = torch.rand(6, 3, 12, 12, generator=generator()), torch.rand(6, NUMBERS, generator=generator())
    still = Changes(torch.zeros(6, dtype=torch.bool), torch.zeros(6, 2, dtype=torch.long), torch.ones(6))
    cut = dataclasses.replace(still, numbers=u, crop=RandomCrop((0.3, 0.6), (0.5, 2.0)))
    assert torch.equal(cut.apply(x), RandomCrop((0.3, 0.6), (0.5, 2.0))(x, u))
    assert not torch.allclose(cut.apply(x), x)


def test_colours_change_as_torchvision_changes_them() -> None:
    torchvision_ops.ensure()
    v = importlib.import_module("torchvision.transforms.functional")
    x = torch.rand(8, 3, 9, 7, generator=generator())
    x[0] = 0.4  # grey has no hue
    factors = torch.rand(8, 2, generator=generator()) * 2
    turns = torch.rand(8, 1, generator=generator()) - 0.5
    ours = jittered(x, torch.cat([factors, turns], 1))
    for i, (contrast, saturation) in enumerate(factors.tolist()):
        one = v.adjust_saturation(v.adjust_contrast(x[i], contrast), saturation)
        torch.testing.assert_close(ours[i], v.adjust_hue(one, float(turns[i])), atol=3e-3, rtol=0)
    grey = torch.rand(1, 1, 4, 4, generator=generator())
    torch.testing.assert_close(jittered(grey, torch.tensor([[0.5, 9.0, 0.5]])), v.adjust_contrast(grey, 0.5))


def test_a_recipe_without_augmentation_has_none() -> None:
    full = Recipe(crop=(0.5, 1.0), crop_ratio=(0.5, 2.0), contrast=0.2, saturation=0.1, hue=0.1)
    assert not full.plain().changes
    bare = {"flip": False, "shift": 0, "brightness": 0.0}
    for one in ({"crop": (0.5, 1.0)}, {"contrast": 0.1}, {"saturation": 0.1}, {"hue": 0.1}):
        assert Recipe(**bare, **one).changes  # type: ignore[arg-type]
