from __future__ import annotations

import numpy as np
import pytest
import torch

from unveil.attacks.adam import adam
from unveil.attacks.frozen import prior_of
from unveil.attacks.losses import poincare
from unveil.attacks.ppa import PPA
from unveil.attacks.selection import best, best_of_each, robustness
from unveil.attacks.wspace import WSpace, first_styles, scored
from unveil.harness.types import Access, Budget, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
SHAPE = (1, 4, 4)  # on so few pixels, a crop of nine tenths is the whole picture: crops have tests of their own
TINY = PPA(pool=20, candidates=4, keep=2, steps=5, views=3)


def white_box(target: Classifier, shape: tuple[int, int, int] = SHAPE) -> View:
    return View(target, Access.WHITE_BOX, shape)


def numpy_scores(target: Classifier, x: torch.Tensor) -> np.ndarray:
    o = (x.flatten(1).numpy() - 0.5) @ target.head.weight.detach().numpy().T
    e = np.exp(o - o.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_adam_with_the_papers_betas_is_torchs_adam() -> None:
    g = torch.Generator().manual_seed(0)
    ours, m, s = torch.ones(2, 3), torch.zeros(2, 3), torch.zeros(2, 3)
    theirs = torch.nn.Parameter(ours.clone())
    optimiser = torch.optim.Adam([theirs], lr=0.005, betas=(0.1, 0.1))
    for t in range(20):
        theirs.grad = torch.randn(2, 3, generator=g)
        ours, m, s = adam(ours, theirs.grad, m, s, t, 0.005, (0.1, 0.1))
        optimiser.step()
        torch.testing.assert_close(ours, theirs.detach(), atol=1e-6, rtol=0)


def test_the_pool_is_scored_and_dealt_as_numpy_would(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    view, prior = white_box(style_target), prior_of(styled, run)
    space = WSpace(prior, SHAPE)
    pool = first_styles(space, prior, run, 30, 0.5, 2, single=False)
    z = prior.sample(run.generators("pool", [(i,) for i in range(30)])).numpy()
    w = np.where(z < 0, 0.2 * z, z)  # two rows of three are truncated
    x = torch.from_numpy(0.5 + 0.1 * (w * (0.5 + 0.5 + 1) / 3)).view(-1, *SHAPE)
    wanted = (numpy_scores(style_target, x) + numpy_scores(style_target, x.flip(-1))) / 2
    found = scored(view, run, "pool", space, pool, LABELS, 7, mirror=True)
    np.testing.assert_allclose(found.numpy(), wanted[:, LABELS.numpy()], atol=1e-6)
    assert view.spent.queries == 60
    chosen = best(found.T, 8)
    assert [len(set(row)) for row in chosen.tolist()] == [8, 8]
    np.testing.assert_array_equal(chosen, np.argsort(-wanted[:, LABELS.numpy()].T, 1, kind="stable")[:, :8])


def test_the_descent_is_torchs_on_the_papers_loss(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    """From row 0, truncated, for all layers; the third step has a tenth of the learning rate."""
    attack = PPA(pool=20, candidates=3, keep=3, steps=3, milestones=(2,))
    images = attack.reconstruct(white_box(style_target), styled, LABELS, run)
    prior = prior_of(styled, run)
    space = WSpace(prior, SHAPE)
    pool = first_styles(space, prior, run, 20, 0.5, 8, single=False)
    rows = best(scored(white_box(style_target), run, "x", space, pool, LABELS, 20, mirror=True).T, 3)
    w = torch.nn.Parameter(pool[rows.flatten(), 0].clone())
    optimiser = torch.optim.Adam([w], lr=0.005, betas=(0.1, 0.1))
    for t in range(3):
        if t == 2:
            optimiser.param_groups[0]["lr"] = 0.0005
        loss = poincare(style_target.logits((0.5 + 0.1 * w).view(-1, *SHAPE)), images.labels).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.testing.assert_close(images.pixels, (0.5 + 0.1 * w.detach()).view(-1, *SHAPE), atol=1e-6, rtol=0)


def test_finds_the_known_optimum(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    """With more pixels than classes, logits can point anywhere: the distance vanishes at the class's corner.

    (Logits start positive here: on the far side of zero, the distance has a local minimum.)
    """
    labels = torch.arange(3)
    torch.nn.init.ones_(style_target.head.bias)
    attack = PPA(pool=50, candidates=5, keep=3, steps=400, lr=0.02, milestones=(250, 300, 350))
    images = attack.reconstruct(white_box(style_target), styled, labels, run)
    o = style_target.logits(images.pixels)
    u = o / o.abs().sum(1, keepdim=True)
    assert images.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    torch.testing.assert_close(u, torch.eye(3)[images.labels], atol=0.02, rtol=0)


def test_the_most_robust_are_kept_in_order(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    view, w = white_box(style_target), torch.randn(4, 16, generator=run.generator("w"))
    space, keys = WSpace(prior_of(styled, run), SHAPE), [(0, 3), (0, 8), (2, 1), (2, 0)]
    seen = robustness(view, run, "views", space, w, keys, 6, 3)
    assert view.spent.queries == 24
    again = robustness(view, run, "views again", space, w[[3]], keys[3:], 6, 3)
    torch.testing.assert_close(again["score"][0], seen["score"][3])
    assert set((seen["share"] * 6).round(decimals=4).tolist()) <= set(range(7))
    assert best_of_each(torch.tensor([0.1, 0.3, 0.2, 0.9, 0.9, 0.1]), 2, 2).tolist() == [1, 2, 3, 4]


def test_it_pays_for_pool_descent_and_views(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    view = white_box(style_target)
    images = TINY.reconstruct(view, styled, LABELS, run)
    assert (view.spent.queries, view.spent.gradients) == (2 * 20 + 2 * 4 * 5 + 2 * 4 * 3, 2 * 4 * 5)
    assert images.labels.tolist() == [0, 0, 2, 2]
    everything = PPA(pool=20, candidates=4, keep=4, steps=5)
    view = white_box(style_target)
    assert len(everything.reconstruct(view, styled, LABELS, Run("test"))) == 8
    assert view.spent.queries == 2 * 20 + 2 * 4 * 5


@pytest.mark.parametrize("kill_at", [2, 7, 12])  # one step for the pool, six of descent in two batches, six of views
def test_goes_on_after_a_kill_as_if_nothing_had_been(
    style_target: Classifier, styled: Ingredients, interrupted: tuple[Run, Run], kill_at: int
) -> None:
    attack = PPA(pool=4, candidates=3, keep=2, steps=3, views=3, batch=4, crop_scale=(0.5, 1.0))
    view = white_box(style_target)
    whole = attack.reconstruct(view, styled, LABELS, Run("test"))
    killed, heir = interrupted
    killed.shown.left = kill_at  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(white_box(style_target), styled, LABELS, killed)
    assert (killed.load("ppa views") is not None) == (kill_at > 9)
    taken_up = white_box(style_target)
    resumed = attack.reconstruct(taken_up, styled, LABELS, heir)
    assert torch.equal(resumed.pixels, whole.pixels)
    assert taken_up.spent == view.spent


def test_a_prior_without_styles_is_searched_in_its_latents(view: View, ingredients: Ingredients, run: Run) -> None:
    z = prior_of(ingredients, run).sample(run.generators("pool", [(i,) for i in range(20)]))
    space = WSpace(prior_of(ingredients, run), view.shape)
    assert torch.equal(space.map(z, 0.5, 8)[:, 0], z)
    assert torch.equal(space.from_p(space.to_p(z)), z)
    images = TINY.reconstruct(view, ingredients, LABELS, run)
    assert images.pixels.shape == (4, 1, 2, 3)


def test_pictures_are_cropped_and_resized_for_the_target(styled: Ingredients, run: Run) -> None:
    prior, w = prior_of(styled, run), torch.randn(2, 16, generator=run.generator("w"))
    whole = WSpace(prior, SHAPE).pictures(w)
    assert torch.equal(WSpace(prior, (1, 2, 2), crop=2).pictures(w), whole[..., 1:3, 1:3])
    halved = torch.nn.functional.avg_pool2d(whole, 2)
    assert (WSpace(prior, (1, 2, 2)).pictures(w) - halved).abs().max() < 0.1
    with pytest.raises(UnveilError, match="crop = 5"):
        WSpace(prior, SHAPE, crop=5).pictures(w)


def test_a_budget_is_kept_by_every_stage(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    """Half of 40 + 8 · 8 queries: half the pool, the steps and the views."""
    view = View(style_target, Access.WHITE_BOX, SHAPE, Budget(queries=(40 + 8 * 8) // 4, identities=2))
    TINY.reconstruct(view, styled, LABELS, run)
    assert (view.spent.queries, view.spent.refused) == (2 * 10 + 8 * 2 + 8 * 1, False)
    assert run.notes == ["kept to its budget with pool = 10, steps = 2, views = 1"]
    assert TINY.within(Budget(gradients=12, identities=2), 2).steps == 3
    assert TINY.within(Budget(queries=52, gradients=20, identities=2), 2) == TINY


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(PluginError, match="keep = 50"):
        PPA(candidates=20)
    assert isinstance(TINY.identity_loss(torch.eye(3), torch.arange(3)), torch.Tensor)


def test_the_path_shows_the_most_promising_candidate(style_target: Classifier, styled: Ingredients, run: Run) -> None:
    images: Images = TINY.reconstruct(white_box(style_target), styled, LABELS, run)
    assert len(images) == 4
    assert run.kept["path labels"].unique().tolist() == [0, 2]
