"""A search stops at its budget, with what it has reached by then, and wherever it is cut into batches."""

from __future__ import annotations

import pytest
import torch

from unveil.attacks.gmi import GMI
from unveil.attacks.kedmi import KEDMI
from unveil.harness.types import Access, Attack, Budget, Ingredients, Spent, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
SHAPE = (1, 2, 3)


@pytest.mark.parametrize("batch", [1, 4, 6])
def test_all_samples_take_as_many_steps_as_all_can(
    target: Classifier, ingredients: Ingredients, run: Run, batch: int
) -> None:
    """22 queries for each of two identities with three samples each: 7 steps, and 2 queries are left over."""
    view = View(target, Access.WHITE_BOX, SHAPE, Budget(queries=22, identities=2))
    stopped = GMI(restarts=3, steps=50, batch=batch).reconstruct(view, ingredients, LABELS, run)
    assert view.spent == Spent(42, 42, refused=True)
    free = View(target, Access.WHITE_BOX, SHAPE)
    short = GMI(restarts=3, steps=7, batch=batch).reconstruct(free, ingredients, LABELS, Run("test"))
    assert torch.equal(stopped.pixels, short.pixels)


@pytest.mark.parametrize("attack", [GMI(restarts=1, steps=50), KEDMI(draws=1, steps=50)])
def test_gradients_have_a_limit_of_their_own(
    target: Classifier, ingredients: Ingredients, run: Run, attack: Attack
) -> None:
    view = View(target, Access.WHITE_BOX, SHAPE, Budget(gradients=5, identities=2))
    attack.reconstruct(view, ingredients, LABELS, run)
    assert view.spent == Spent(12, 10, refused=True)  # the sixth step asked, and was refused its gradient


def test_what_fits_is_not_stopped(target: Classifier, ingredients: Ingredients, run: Run) -> None:
    view = View(target, Access.WHITE_BOX, SHAPE, Budget(queries=21, gradients=21, identities=2))
    GMI(restarts=3, steps=7, batch=4).reconstruct(view, ingredients, LABELS, run)
    assert view.spent == Spent(42, 42)


def test_stops_at_the_same_place_after_a_kill(
    target: Classifier, ingredients: Ingredients, interrupted: tuple[Run, Run]
) -> None:
    attack, budget = GMI(restarts=2, steps=6, batch=3), Budget(queries=8, identities=2)
    free = View(target, Access.WHITE_BOX, SHAPE, budget)
    whole = attack.reconstruct(free, ingredients, LABELS, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(View(target, Access.WHITE_BOX, SHAPE, budget), ingredients, LABELS, killed)
    view = View(target, Access.WHITE_BOX, SHAPE, budget)
    assert torch.equal(attack.reconstruct(view, ingredients, LABELS, heir).pixels, whole.pixels)
    assert view.spent == free.spent == Spent(16, 16, refused=True)
