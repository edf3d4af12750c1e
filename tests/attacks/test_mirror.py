from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from unveil.attacks.frozen import prior_of
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox, ramp
from unveil.attacks.pspace import Box, presampled
from unveil.attacks.search import seen_by
from unveil.attacks.wspace import WSpace
from unveil.harness.types import Access, Budget, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError, PluginError
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
SHAPE = (1, 4, 4)
BRED = Mirror(presamples=40, samples=2, population=10, generations=4, queries=1000, confidence=1.0)
DESCENDED = MirrorWhiteBox(presamples=40, restarts=3, samples=2, steps=12, views=3)
ATTACKS = pytest.mark.parametrize("attack", [BRED, DESCENDED])


def seen(attack: Mirror | MirrorWhiteBox, target: Classifier) -> View:
    return View(target, attack.access, SHAPE)


@pytest.fixture
def opposites(style_target: Classifier) -> Classifier:
    """Two classes with logits a·z and -a·z, where a looks the same in the mirror; the third class is never right."""
    a = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(3))
    a = 4 * torch.cat([a, a.flip(-1)], -1).flatten()
    with torch.no_grad():
        style_target.head.weight.copy_(torch.stack([a, -a, torch.zeros(16)]))
        style_target.head.bias.copy_(torch.tensor([0.0, 0.0, -1e9]))
    return style_target


def corner(target: Classifier, styled: Ingredients, attack: Mirror | MirrorWhiteBox, run: Run) -> Tensor:
    """The most that two opposite classes can be told apart inside the box: every coordinate at one of its ends."""
    prior = prior_of(styled, run)
    space = WSpace(prior, SHAPE)
    _, box = presampled(space, prior, run, attack.presamples, attack.psi, attack.radius)
    rising = target.head.weight[:2] > 0
    return space.pictures(space.from_p(torch.where(rising, box.high, box.low)))


def score(target: Classifier, images: Images) -> Tensor:
    return target.logits(images.pixels).softmax(1).gather(1, images.labels[:, None])[:, 0]


def test_white_box_finds_the_known_optimum(opposites: Classifier, styled: Ingredients, run: Run) -> None:
    attack = dataclasses.replace(DESCENDED, steps=200)
    images = attack.reconstruct(seen(attack, opposites), styled, torch.tensor([0, 1]), run)
    wanted = corner(opposites, styled, attack, run).repeat_interleave(2, 0)
    torch.testing.assert_close(images.pixels, wanted, atol=1e-6, rtol=0)


def test_black_box_comes_close_to_the_known_optimum(opposites: Classifier, styled: Ingredients, run: Run) -> None:
    labels = torch.tensor([0, 1])
    attack = Mirror(presamples=80, samples=2, population=40, generations=60, mutation_size=0.5, confidence=1.0)
    images = attack.reconstruct(seen(attack, opposites), styled, labels, run)
    optimum = score(opposites, Images(corner(opposites, styled, attack, run), labels)).repeat_interleave(2)
    untouched = dataclasses.replace(attack, generations=1, queries=1, mutation=0.0)
    start = score(opposites, untouched.reconstruct(seen(attack, opposites), styled, labels, run))
    found = score(opposites, images)
    assert (found - start > 0.9 * (optimum - start)).all()
    assert (optimum - start > 0.05).all()


def test_crossover_favours_the_fitter_parent() -> None:
    """Scores .9 and .1: a gene is the fitter one's with .9² + 2 · .9 · .1 · .9; with log-scores it would be .828."""
    attack = Mirror(population=2, mutation=0.0)
    p, f = torch.stack([torch.zeros(50), torch.ones(50)]), torch.tensor([0.9, 0.1]).log()
    box = Box(torch.full((50,), -9.0), torch.full((50,), 9.0), torch.ones(50))
    children = [attack.breed(p, f, Run("a").generator(i), box) for i in range(2000)]
    share = 1 - torch.cat(children).mean().item()
    assert share == pytest.approx(0.972, abs=0.008)  # about four standard errors


def test_mutations_are_as_frequent_and_large_as_said_and_stay_in_the_box() -> None:
    attack = Mirror(population=200, mutation=0.1, mutation_size=0.1)
    p, f = torch.zeros(200, 50), torch.zeros(200)
    box = Box(torch.full((50,), -0.15), torch.full((50,), 9.0), torch.full((50,), 2.0))
    children = attack.breed(p, f, Run("a").generator("b"), box)
    assert children.shape == (180, 50)
    moved = children[children != 0]
    assert len(moved) / children.numel() == pytest.approx(0.1, abs=0.015)
    assert moved.max() == pytest.approx(0.2, abs=0.005)
    assert moved.min() == pytest.approx(-0.15)


def test_founders_are_the_best_presamples_dealt_in_turns() -> None:
    score = torch.tensor([0.1, 0.9, 0.3, 0.8, 0.2, 0.7, 0.0])
    founders = Mirror(presamples=7, samples=2, population=3).founders(score)
    assert founders.tolist() == [[1, 5, 4], [3, 2, 0]]


def test_the_box_is_one_standard_deviation_of_unactivated_styles(styled: Ingredients, run: Run) -> None:
    prior = prior_of(styled, run)
    space = WSpace(prior, SHAPE)
    p, box = presampled(space, prior, run, 30, 0.7, 1.0)
    z = prior.sample(run.generators("pool", [(i,) for i in range(30)]))
    torch.testing.assert_close(box.std, (0.7 * z).std(0, unbiased=False))
    torch.testing.assert_close((box.low + box.high) / 2, (0.7 * z).mean(0))
    torch.testing.assert_close(p, (0.7 * z).maximum(box.low).minimum(box.high))
    torch.testing.assert_close(space.to_p(space.from_p(p)), p)


def test_learning_rate_rises_and_falls() -> None:
    assert [ramp(t) for t in (0, 0.025, 0.05, 0.5, 0.75)] == [0, 0.5, 1, 1, 1]
    assert ramp(0.875) == pytest.approx(0.5)
    assert ramp(0.9375) == pytest.approx(0.5 - 0.5 * math.cos(math.pi / 4))


@pytest.mark.parametrize(("queries", "spent"), [(37, 37), (1000, 2 * 4 * 9), (1, 1)])
def test_the_budget_is_kept_exactly(
    style_target: Classifier, styled: Ingredients, run: Run, queries: int, spent: int
) -> None:
    attack = dataclasses.replace(BRED, queries=queries)
    view = seen(attack, style_target)
    images = attack.reconstruct(view, styled, LABELS, run)
    assert (view.spent.queries, view.spent.gradients) == (40 + 2 * spent, 0)
    assert images.labels.tolist() == [0, 0, 2, 2]


@ATTACKS
def test_a_budget_is_kept_by_every_stage(
    attack: Mirror | MirrorWhiteBox, style_target: Classifier, styled: Ingredients, run: Run
) -> None:
    free = seen(attack, style_target)
    attack.reconstruct(free, styled, LABELS, run)
    assert run.notes == []
    limits = Budget(queries=free.spent.queries // 3, identities=2)  # two thirds of what it would take
    view = View(style_target, attack.access, SHAPE, limits)
    attack.reconstruct(view, styled, LABELS, run)
    assert 0.8 * (limits.total("queries") or 0) < view.spent.queries <= (limits.total("queries") or 0)
    assert not view.spent.refused
    assert run.notes[0].startswith("kept to its budget with presamples = 2")


def test_a_confident_population_stops(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    attack = dataclasses.replace(BRED, confidence=1e-6)
    view = seen(attack, style_target)
    attack.reconstruct(view, styled, LABELS, run)
    assert view.spent.queries == 40


def test_scores_are_all_it_sees(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    view = seen(BRED, style_target)
    assert view.access is Access.SCORES
    BRED.reconstruct(view, styled, LABELS, run)
    space = WSpace(prior_of(styled, run), SHAPE)
    descent = MirrorWhiteBox.descent(DESCENDED, seen_by(view, "cross_entropy"), run, space, *two_boxes())
    with pytest.raises(AccessError):
        descent.step([(0, 0)], {"w": torch.zeros(1, 16), "y": LABELS[:1]}, 0)


def two_boxes() -> tuple[Box, Tensor]:
    return Box(-torch.ones(16), torch.ones(16), torch.ones(16)), torch.zeros(1, 16)


def test_white_box_pays_for_presamples_descent_and_views(
    style_target: Classifier, styled: Ingredients, run: Run
) -> None:
    view = seen(DESCENDED, style_target)
    images = DESCENDED.reconstruct(view, styled, LABELS, run)
    assert (view.spent.queries, view.spent.gradients) == (40 + 2 * 3 * 12 + 2 * 3 * 3, 2 * 3 * 12)
    assert images.labels.tolist() == [0, 0, 2, 2]
    assert DESCENDED.identity_loss(torch.eye(3), torch.arange(3)).shape == (3,)


@pytest.mark.parametrize(("attack", "kill_at"), [(BRED, 2), (BRED, 4), (DESCENDED, 6), (DESCENDED, 27)])
def test_goes_on_after_a_kill_as_if_nothing_had_been(
    attack: Mirror | MirrorWhiteBox,
    kill_at: int,
    style_target: Classifier,
    styled: Ingredients,
    interrupted: tuple[Run, Run],
) -> None:
    attack = dataclasses.replace(attack, batch=4) if attack is DESCENDED else attack
    view = seen(attack, style_target)
    whole = attack.reconstruct(view, styled, LABELS, Run("test"))
    killed, heir = interrupted
    killed.shown.left = kill_at  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(seen(attack, style_target), styled, LABELS, killed)
    taken_up = seen(attack, style_target)
    resumed = attack.reconstruct(taken_up, styled, LABELS, heir)
    assert torch.equal(resumed.pixels, whole.pixels)
    assert taken_up.spent == view.spent


@ATTACKS
def test_a_prior_without_styles_is_searched_in_its_latents(
    attack: Mirror | MirrorWhiteBox, target: Classifier, ingredients: Ingredients, run: Run
) -> None:
    images = attack.reconstruct(View(target, attack.access, (1, 2, 3)), ingredients, LABELS, run)
    assert images.pixels.shape == (4, 1, 2, 3)
    assert images.labels.tolist() == [0, 0, 2, 2]


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(PluginError, match="5 populations of 100 from 99 presamples"):
        Mirror(presamples=99)
    with pytest.raises(PluginError, match="samples = 9"):
        MirrorWhiteBox(samples=9)
