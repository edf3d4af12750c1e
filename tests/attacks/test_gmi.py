from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from unveil.attacks.gmi import GMI
from unveil.harness.types import Access, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
SHAPE = (1, 2, 3)


def latents(images: Images) -> Tensor:
    return (images.pixels.flatten(1) - 0.5) / 0.1


def test_the_update_is_the_worked_one() -> None:
    g = torch.tensor([[0.5, -2.0]])
    z1, v1 = GMI().move(torch.zeros(1, 2), torch.zeros(1, 2), g)
    torch.testing.assert_close(z1, -0.038 * g)
    z2, v2 = GMI().move(z1, v1, g)  # v2 = .9 v1 - .02 g = -.038 g; z2 = z1 - .9 v1 + 1.9 v2
    torch.testing.assert_close(v2, -0.038 * g)
    torch.testing.assert_close(z2, (-0.038 + 0.9 * 0.02 - 1.9 * 0.038) * g)
    assert GMI().move(torch.tensor([3.0]), torch.zeros(1), torch.zeros(1))[0].item() == 1.0


def test_finds_the_known_optimum(target: Classifier, view: View, ingredients: Ingredients, run: Run) -> None:
    """Two classes whose logits are a·z and -a·z: the optimum lies along a, at the minimum of a scalar function."""
    a = torch.tensor([0.5, -0.3, 0.2, 0.0, 0.1, -0.4])
    with torch.no_grad():
        target.head.weight.copy_(torch.stack([10 * a, -10 * a, torch.full_like(a, 0)]))
        target.head.bias.copy_(torch.tensor([0.0, 0.0, -1e9]))
    square = float(a.square().sum())
    best = minimize_scalar(
        lambda s: 3 * torch.nn.functional.softplus(torch.tensor(-2 * s * square)).item() + s * s * square
    )
    attack = GMI(restarts=2, steps=300, lr=0.05, identity_weight=3, batch_equivalent=1, clip=5.0)
    found = latents(attack.reconstruct(view, ingredients, torch.tensor([0, 1]), run))
    expected = torch.stack([a, a, -a, -a]) * float(best.x)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


def test_gives_all_restarts_and_pays_for_every_step(view: View, ingredients: Ingredients, run: Run) -> None:
    images = GMI(restarts=3, steps=7, batch=4).reconstruct(view, ingredients, LABELS, run)
    assert images.labels.tolist() == [0, 0, 0, 2, 2, 2]
    assert images.pixels.shape == (6, *SHAPE)
    assert images.pixels.dtype == torch.float32
    assert images.pixels.min() >= 0
    assert images.pixels.max() <= 1
    assert len(latents(images).unique(dim=0)) == 6
    assert (view.spent.queries, view.spent.gradients) == (42, 42)
    prior = ingredients.prior
    assert prior is not None
    assert all(p.grad is None for p in prior.parameters())


def test_same_identity_same_bits(view: View, ingredients: Ingredients) -> None:
    first, again, other = (
        GMI(steps=5).reconstruct(view, ingredients, LABELS, Run(name)).pixels for name in ("a", "a", "b")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_goes_on_after_a_kill_as_if_nothing_had_been(
    view: View, target: Classifier, ingredients: Ingredients, interrupted: tuple[Run, Run]
) -> None:
    attack = GMI(restarts=2, steps=4, batch=3)  # two batches: killed in the second
    whole = attack.reconstruct(view, ingredients, LABELS, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(View(target, Access.WHITE_BOX, SHAPE), ingredients, LABELS, killed)
    assert killed.load("gmi") is not None
    taken_up = View(target, Access.WHITE_BOX, SHAPE)
    resumed = attack.reconstruct(taken_up, ingredients, LABELS, heir)
    assert torch.equal(resumed.pixels, whole.pixels)
    assert taken_up.spent == view.spent


def test_without_a_prior_it_says_so(view: View, run: Run) -> None:
    nothing = Ingredients(None, Images(torch.zeros(1, *SHAPE), torch.tensor([-1])))
    with pytest.raises(UnveilError, match="no prior"):
        GMI().reconstruct(view, nothing, LABELS, run)
