from __future__ import annotations

from math import pi

import pytest
import torch
from torch import Tensor

from unveil.attacks import augment
from unveil.attacks.numbers import uniform
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.random_latents import RandomLatents
from unveil.attacks.search import seen_by
from unveil.harness.assets import torchvision_ops
from unveil.harness.types import Access, Budget, ConditionalGenerator, Images, Ingredients, View, draw_normal
from unveil.harness.words import crops
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run

torchvision_ops.ensure()
from torchvision.transforms import InterpolationMode  # noqa: E402
from torchvision.transforms.v2 import functional as tv  # noqa: E402

SHAPE = (3, 8, 8)
LABELS = torch.tensor([0, 2])
HUES = torch.linalg.qr(torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]]).T).Q[:, 1:]  # plane without grey


class ColourWheel(ConditionalGenerator):
    """Pictures of one colour: its hue is the direction of z, turned by a third of the wheel per class."""

    latent = 2

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:
        hue = torch.atan2(z[:, 1], z[:, 0]) + y * 2 * pi / 3
        colour = 0.5 + 0.3 * torch.stack([hue.cos(), hue.sin()], 1) @ HUES.T
        return colour[..., None, None].expand(-1, *SHAPE)

    def synthesize(self, z: Tensor) -> Tensor:
        return self.synthesize_as(z, torch.zeros(len(z), dtype=torch.int64))

    def realism(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x))


def given(prior: ConditionalGenerator) -> Ingredients:
    return Ingredients(prior, Images(torch.zeros(1, *SHAPE), torch.tensor([-1])))


def looking(target: Classifier, budget: Budget = Budget()) -> View:  # noqa: B008 (frozen)
    return View(target, Access.WHITE_BOX, SHAPE, budget)


def test_finds_the_known_optimum(painted: Classifier, run: Run) -> None:
    """Two classes whose logits are opposite hues of all pixels: the margin is greatest at the hue itself.

    No augmentation moves that optimum: crops and turns of one colour give that colour (and black), and the hue's
    plane is orthogonal to grey, so that brightness and contrast only scale the margin.
    """
    hue = torch.tensor([0.6, -0.8]) @ HUES.T
    with torch.no_grad():
        painted.head.weight.copy_(torch.stack([hue, -hue, 0 * hue]).repeat_interleave(64, 1))
        painted.head.bias.copy_(torch.tensor([0.0, 0.0, -1e9]))
    labels = torch.tensor([0, 1])
    images = PLGMI(restarts=4, steps=150).reconstruct(looking(painted), given(ColourWheel()), labels, run)
    best = 0.5 + 0.3 * hue * (1 - 2 * images.labels[:, None])
    torch.testing.assert_close(images.pixels.mean((2, 3)), best, atol=1e-2, rtol=0)


def seen(x: Tensor, u: Tensor) -> Tensor:
    """One view of one picture by torchvision's functions."""
    crop, (_, light, contrast, turn) = u[: crops.NUMBERS], u[crops.NUMBERS :].tolist()
    x = tv.resized_crop(
        x, *augment.published(1.0).crop.boxes(crop[None], 8, 8)[0].long().tolist(), [8, 8], antialias=False
    )
    x = tv.hflip(x) if crop[-1] < 0.5 else x
    x = tv.adjust_contrast(tv.adjust_brightness(x, 0.8 + 0.4 * light), 0.8 + 0.4 * contrast)
    return tv.rotate(x, 10 * turn - 5, interpolation=InterpolationMode.BILINEAR)


def test_loss_and_first_update_are_the_written_ones(painted: Classifier, canvas: Ingredients, run: Run) -> None:
    prior, keys = canvas.prior, [(0, 0), (2, 0)]
    assert isinstance(prior, ConditionalGenerator)
    z = draw_normal(run.generators("z", keys), (192,)).requires_grad_(True)
    x = prior.synthesize_as(z, LABELS)
    u = uniform(run, "augment", 2 * augment.NUMBERS).at(keys, 0).view(2, 2, -1)
    losses = []
    for i, y in enumerate(LABELS.tolist()):
        o = torch.stack([painted.logits(seen(x[i], u[i, k])[None])[0] for k in range(2)])
        losses.append((o[:, [k for k in range(3) if k != y]].amax(1) - o[:, y]).sum())
    expected = torch.stack(losses)
    ours = PLGMI().loss(seen_by(looking(painted), "max_margin"), x, LABELS, u.flatten(1))
    torch.testing.assert_close(ours, expected, atol=2e-3, rtol=0)  # grey weights differ in the fourth digit
    (g,) = torch.autograd.grad(expected.sum(), z)
    images = PLGMI(restarts=1, steps=1, lr=1e-3).reconstruct(looking(painted), given(prior), LABELS, run)
    moved = (images.pixels - x).flatten(1) / 0.2
    clear = (g.abs() > 5e-3) & ((x - 0.5).abs() < 0.49).flatten(1)  # neither nearly flat nor clipped when shown
    assert clear.float().mean() > 0.5
    torch.testing.assert_close(moved[clear], -1e-3 * g.sign()[clear], atol=1e-5, rtol=0)


def test_pays_two_queries_and_gradients_a_step_and_shows_its_path(painted: Classifier, run: Run) -> None:
    view = looking(painted)
    images = PLGMI(restarts=3, steps=7, batch=4).reconstruct(view, given(ColourWheel()), LABELS, run)
    assert images.labels.tolist() == [0, 0, 0, 2, 2, 2]
    assert (view.spent.queries, view.spent.gradients) == (84, 84)
    assert run.kept["path labels"].tolist() == [0, 2] * 6
    limited = looking(painted, Budget(queries=12, identities=2))
    fewer = PLGMI(restarts=3, steps=7, batch=4).reconstruct(limited, given(ColourWheel()), LABELS, run)
    assert (limited.spent.queries, limited.spent.refused) == (24, True)
    two = PLGMI(restarts=3, steps=2).reconstruct(looking(painted), given(ColourWheel()), LABELS, run)
    torch.testing.assert_close(fewer.pixels, two.pixels, atol=1e-5, rtol=0)


def test_same_identity_same_bits(painted: Classifier, canvas: Ingredients) -> None:
    first, again, other = (
        PLGMI(steps=5).reconstruct(looking(painted), canvas, LABELS, Run(name)).pixels for name in ("a", "a", "b")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_goes_on_after_a_kill_as_if_nothing_had_been(
    painted: Classifier, canvas: Ingredients, interrupted: tuple[Run, Run]
) -> None:
    attack, whole = PLGMI(restarts=2, steps=4, batch=3), looking(painted)  # two batches: killed in the second
    expected = attack.reconstruct(whole, canvas, LABELS, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(looking(painted), canvas, LABELS, killed)
    assert killed.load("plgmi") is not None
    taken_up = looking(painted)
    resumed = attack.reconstruct(taken_up, canvas, LABELS, heir)
    assert torch.equal(resumed.pixels, expected.pixels)
    assert taken_up.spent == whole.spent


def test_a_prior_that_takes_no_class_is_refused(painted: Classifier, ingredients: Ingredients, run: Run) -> None:
    with pytest.raises(UnveilError, match="LinearPrior, which takes no class"):
        PLGMI().reconstruct(looking(painted), ingredients, LABELS, run)


def test_the_control_tells_the_prior_the_class(painted: Classifier, run: Run) -> None:
    images = RandomLatents(samples=2).reconstruct(looking(painted), given(ColourWheel()), LABELS, run)
    keys = [(0, 0), (0, 1), (2, 0), (2, 1)]
    z = draw_normal(run.generators("z", keys), (2,))
    torch.testing.assert_close(images.pixels, ColourWheel().synthesize_as(z, LABELS.repeat_interleave(2)))
