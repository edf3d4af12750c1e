"""IF-GMI: where stages begin and end, what a ball lets through, and that stage 0 is PPA's descent."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.attacks.if_gmi import IFGMI, StagedDescent
from unveil.attacks.layers import LayeredSpace, within_ball
from unveil.attacks.losses import poincare
from unveil.attacks.ppa import PPA
from unveil.attacks.search import State, seen_by
from unveil.attacks.wspace import WSpace, first_styles, scored
from unveil.harness.types import Access, Budget, Generator, Images, Ingredients, Run, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError, UnveilError

LABELS, SHAPE = torch.tensor([0, 2]), (1, 4, 4)
KEYS = [(0, 3), (2, 5)]
TINY = IFGMI(pool=20, candidates=3, stages=(4, 3, 2), crop_scale=(0.5, 1.0))


@pytest.fixture
def prior(worlds: ModuleType) -> Any:
    return worlds.Blocks(SHAPE)


@pytest.fixture
def blocks(prior: Generator) -> Ingredients:
    return Ingredients(prior, Images(torch.zeros(1, *SHAPE), torch.tensor([-1])))


def found(attack: Any, target: Classifier, blocks: Ingredients, view: View | None = None) -> Images:
    images: Images = attack.reconstruct(view or View(target, Access.WHITE_BOX, SHAPE), blocks, LABELS, Run("test"))
    return images


def test_the_ball_is_the_worked_one() -> None:
    v, zero = torch.tensor([[3.0, 1.0, -2.0]]), torch.zeros(1, 3)
    assert within_ball(v, zero, 2).tolist() == [[1.5, 0, -0.5]]
    assert within_ball(v, zero, 3).tolist() == [[2, 0, -1]]
    assert within_ball(v, zero, 6) is v
    torch.testing.assert_close(within_ball(v + 5, zero + 5, 2), torch.tensor([[6.5, 5, 4.5]]))


def test_a_ball_gives_the_nearest_point_and_leaves_what_is_inside() -> None:
    g = torch.Generator().manual_seed(0)
    v, centre = torch.randn(6, 4, 3, 3, generator=g), torch.randn(6, 4, 3, 3, generator=g)
    v[0] = centre[0] + 0.01
    held = within_ball(v, centre, 5.0)
    assert torch.equal(held[0], v[0])
    torch.testing.assert_close((held - centre)[1:].flatten(1).abs().sum(1), torch.full((5,), 5.0))
    distance = (held - v).flatten(1).norm(dim=1)
    for _ in range(50):  # no other point of the ball is nearer
        off = torch.randn(6, 36, generator=g)
        other = centre + (5 * off / off.abs().sum(1, keepdim=True)).view_as(v)
        assert ((other - v).flatten(1).norm(dim=1) >= distance - 1e-5).all()
    torch.testing.assert_close(within_ball(v[3:4], centre[3:4], 5.0), held[3:4])


def test_stage_0_alone_is_ppas_descent(style_target: Classifier, blocks: Ingredients) -> None:
    """A stage of no steps is passed over."""
    ppa = PPA(pool=20, candidates=3, keep=3, steps=5, crop_scale=(0.5, 1.0))
    same = IFGMI(pool=20, candidates=3, stages=(5, 0, 0), crop_scale=(0.5, 1.0))
    assert torch.equal(found(same, style_target, blocks).pixels, found(ppa, style_target, blocks).pixels)
    assert torch.equal(
        found(replace(same, radii=(), fresh_colours=True), style_target, blocks).pixels,
        found(same, style_target, blocks).pixels,
    )


def written(prior: Any, target: Classifier, attack: IFGMI) -> Tensor:
    """The stages on torch's Adam, without crops, on the mean loss of the batch times its size."""
    run = Run("test")
    space = WSpace(prior, SHAPE)
    pool = first_styles(space, prior, run, attack.pool, attack.psi, attack.cutoff, single=False)
    view = View(target, Access.WHITE_BOX, SHAPE)
    score = scored(view, run, "x", space, pool, LABELS, 20, mirror=True)
    w = pool[score.T.sort(dim=1, descending=True, stable=True).indices[:, : attack.candidates].flatten(), 0]
    y = LABELS.repeat_interleave(attack.candidates)
    h: Tensor | None = None
    rgb: Tensor | None = None
    for stage, steps in enumerate(attack.stages):
        leaves = [x.clone().requires_grad_(True) for x in (w, h) if x is not None]
        optimiser = torch.optim.Adam(leaves, lr=attack.lr, betas=(0.1, 0.1))

        def picture(stage: int = stage, leaves: list[Tensor] = leaves, rgb: Tensor | None = rgb) -> Tensor:
            now = leaves[1] if stage else None
            for i in range(stage, prior.blocks):
                now, rgb = prior.block(i, now, rgb, leaves[0][:, None].expand(-1, prior.num_ws, -1))
            out: Tensor = prior.finished(rgb)
            return out

        for _ in range(steps):
            optimiser.zero_grad()
            poincare(target.logits(picture()), y).sum().backward()
            optimiser.step()
        last = picture().detach()
        w = leaves[0].detach()
        before = leaves[1].detach() if stage else None
        h, rgb = (x.detach() for x in prior.block(stage, before, rgb, w[:, None].expand(-1, prior.num_ws, -1)))
        rgb = None if attack.fresh_colours else rgb
    return last


@pytest.mark.parametrize("fresh", [False, True])
def test_all_stages_are_the_written_ones(style_target: Classifier, blocks: Ingredients, fresh: bool) -> None:
    """A crop of nine tenths is the whole of so few pixels."""
    attack = IFGMI(pool=20, candidates=2, stages=(3, 2, 4), radii=(), lr=0.02, fresh_colours=fresh)
    expected = written(blocks.prior, style_target, attack)
    torch.testing.assert_close(found(attack, style_target, blocks).pixels, expected.clamp(0, 1), atol=1e-5, rtol=0)


def states(attack: IFGMI, prior: Generator, target: Classifier) -> list[State]:
    """Before each step, with the picture there, and at the end."""
    view, space = View(target, Access.WHITE_BOX, SHAPE), LayeredSpace(prior, SHAPE)
    staged = StagedDescent(attack, attack.stages, space, seen_by(view, "poincare"), Run("test"))
    descent = staged.descent(torch.randn(9, 16, generator=torch.Generator().manual_seed(4)))
    assert descent.pictures is not None
    state, seen = descent.start(KEYS), []
    for t in range(attack.steps):
        seen.append({**state, "picture": descent.pictures(state)})
        descent.step(KEYS, state, t)
    return [*seen, dict(state)]


def test_a_stage_begins_with_the_last_picture_of_the_one_before(prior: Generator, style_target: Classifier) -> None:
    """And the published one does not. Features have no place in what is kept of all samples."""
    carried, fresh = (
        states(replace(TINY, fresh_colours=how, stages=(1, 1, 1)), prior, style_target) for how in (False, True)
    )
    short = states(replace(TINY, stages=(1, 0, 0)), prior, style_target)[-1]["x"]
    assert torch.equal(carried[1]["picture"], short)
    assert (fresh[1]["picture"] - short).abs().max() > 1e-3
    assert carried[-1]["h"].shape == carried[-1]["rgb"].shape == (2, 0)


def test_steps_are_as_short_as_adam_lets_them_be_so_published_balls_never_bind(
    prior: Generator, style_target: Classifier
) -> None:
    """With equal betas, a coordinate moves by the learning rate at most."""
    seen = states(TINY, prior, style_target)
    free = states(replace(TINY, radii=()), prior, style_target)
    assert torch.equal(seen[-1]["x"], free[-1]["x"])
    for before, after in ((0, 3), (4, 6), (7, 8)):  # within one stage
        for name in ("w", "h"):
            far = (seen[after][name] - seen[before][name]).abs()
            assert far.numel() == 0 or far.max() <= TINY.lr * (after - before) * 1.001
    assert (seen[6]["w"] - seen[4]["w"]).abs().max() > TINY.lr  # or nothing would be bounded
    tight = states(replace(TINY, radii=(0.1, 0.05, 0.02)), prior, style_target)
    off = (tight[6]["h"] - tight[4]["h"]).flatten(1).abs().sum(1)
    torch.testing.assert_close(off, torch.full((2,), 0.05))


def test_features_lead_where_no_style_does(prior: Generator, style_target: Classifier) -> None:
    last = states(replace(TINY, stages=(4, 3, 3), lr=0.1), prior, style_target)[-2]
    styled = prior.block(0, None, None, last["w"][:, None].expand(-1, 3, -1))[0]  # type: ignore[operator]
    assert (last["h"] - styled).abs().max() > 0.05


def test_it_pays_for_pool_and_stages(style_target: Classifier, blocks: Ingredients) -> None:
    view = View(style_target, Access.WHITE_BOX, SHAPE)
    images = found(TINY, style_target, blocks, view)
    assert (view.spent.queries, view.spent.gradients) == (2 * 20 + 2 * 3 * 9, 2 * 3 * 9)
    assert images.labels.tolist() == [0, 0, 0, 2, 2, 2]
    limited = View(style_target, Access.WHITE_BOX, SHAPE, Budget(gradients=14, identities=2))
    found(TINY, style_target, blocks, limited)
    assert (limited.spent.gradients, limited.spent.refused) == (2 * 3 * 4, False)
    assert TINY.within(Budget(gradients=14, identities=2), 2).stages == (3, 1, 0)
    assert TINY.within(Budget(gradients=27, identities=2), 2) == TINY


def test_a_budget_that_ends_within_a_stage_leaves_what_was_reached(
    style_target: Classifier, blocks: Ingredients, run: Run
) -> None:
    view = View(style_target, Access.WHITE_BOX, SHAPE, Budget(gradients=18, identities=2))
    stopped = TINY.attack(view, blocks.prior, LABELS, run)  # type: ignore[arg-type]
    assert view.spent.refused
    short = found(replace(TINY, stages=(4, 2, 0)), style_target, blocks)
    torch.testing.assert_close(stopped.pixels, short.pixels)


def test_fewer_blocks_have_fewer_stages_and_none_are_refused(
    style_target: Classifier, blocks: Ingredients, styled: Ingredients, run: Run
) -> None:
    longer = replace(TINY, stages=(4, 3, 2, 7, 7))
    images = longer.reconstruct(View(style_target, Access.WHITE_BOX, SHAPE), blocks, LABELS, run)
    assert torch.equal(images.pixels, found(TINY, style_target, blocks).pixels)
    assert run.notes == ["its prior draws in 3 blocks, so that it had stages = [4, 3, 2]"]
    with pytest.raises(UnveilError, match="StylePrior has no features between blocks"):
        found(TINY, style_target, styled)


@pytest.mark.parametrize("settings", [{"pool": 2}, {"stages": ()}, {"stages": (0, 5)}, {"radii": (1.0, 2.0)}], ids=str)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match="if_gmi with"):
        replace(TINY, **settings)
