from __future__ import annotations

import pytest
import torch

from unveil.attacks.adam import adam
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.numbers import normal
from unveil.harness.types import Access, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
SHAPE = (1, 2, 3)


def test_adam_is_torchs_adam() -> None:
    g = torch.Generator().manual_seed(0)
    ours, m, s = torch.ones(2, 3, 4), torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    theirs = torch.nn.Parameter(ours.clone())
    optimiser = torch.optim.Adam([theirs], lr=0.02)
    for t in range(20):
        theirs.grad = torch.randn(2, 3, 4, generator=g)
        ours, m, s = adam(ours, theirs.grad, m, s, t, 0.02)
        optimiser.step()
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-6, rtol=0)


def test_draws_are_mean_plus_scaled_noise() -> None:
    p = torch.tensor([[[0.5, -0.5], [0.0, 2.0]]])
    e = torch.tensor([[1.0, -1.0]])
    torch.testing.assert_close(KEDMI().draw(p, e), torch.tensor([[1.5, -0.5 - 2.718281828]]))
    torch.testing.assert_close(KEDMI(clamp=True).draw(p, e), torch.tensor([[1.0, -1.0]]))


def test_finds_the_known_optimum(view: View, ingredients: Ingredients, run: Run) -> None:
    """Without identity loss, ``E |z|² = |μ|² + Σ exp ℓ`` is least where mean and variance vanish: all pixels .5."""
    attack = KEDMI(steps=800, lr=0.1, identity_weight=0, draws=4)
    images = attack.reconstruct(view, ingredients, LABELS, run)
    assert images.labels.tolist() == [0] * 4 + [2] * 4
    torch.testing.assert_close(images.pixels, torch.full_like(images.pixels, 0.5), atol=0.02, rtol=0)


def test_the_target_recognises_what_it_finds(
    target: Classifier, view: View, ingredients: Ingredients, run: Run
) -> None:
    labels = torch.arange(3)
    images = KEDMI(steps=150, lr=0.05, log_variance_init=0, draws=3).reconstruct(view, ingredients, labels, run)
    assert target.logits(images.pixels).argmax(1).tolist() == images.labels.tolist()
    assert (view.spent.queries, view.spent.gradients) == (450, 450)


def test_noise_is_fresh_at_each_step_and_belongs_to_the_identity(run: Run) -> None:
    together, alone = normal(run, "noise", 3), normal(run, "noise", 3)
    steps = [together.at([(0,), (2,)], t) for t in (0, 1, 63, 64, 65)]
    assert len(torch.cat(steps).unique(dim=0)) == 10
    assert torch.equal(alone.at([(2,)], 64)[0], steps[3][1])


def test_goes_on_after_a_kill_as_if_nothing_had_been(
    view: View, target: Classifier, ingredients: Ingredients, interrupted: tuple[Run, Run]
) -> None:
    attack = KEDMI(draws=2, steps=4, batch=1)
    whole = attack.reconstruct(view, ingredients, LABELS, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(View(target, Access.WHITE_BOX, SHAPE), ingredients, LABELS, killed)
    assert killed.load("kedmi") is not None
    taken_up = View(target, Access.WHITE_BOX, SHAPE)
    resumed = attack.reconstruct(taken_up, ingredients, LABELS, heir)
    assert torch.equal(resumed.pixels, whole.pixels)
    assert taken_up.spent == view.spent
