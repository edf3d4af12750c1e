from __future__ import annotations

import torch

from unveil.attacks.random_latents import RandomLatents
from unveil.harness.types import Access, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run


def test_asks_nothing_and_belongs_to_the_identity(target: Classifier, ingredients: Ingredients, run: Run) -> None:
    view = View(target, Access.LABELS, (1, 2, 3))
    both = RandomLatents(samples=2).reconstruct(view, ingredients, torch.tensor([0, 2]), run)
    alone = RandomLatents(samples=2).reconstruct(view, ingredients, torch.tensor([2]), run)
    assert both.labels.tolist() == [0, 0, 2, 2]
    assert (view.spent.queries, view.spent.gradients) == (0, 0)
    assert len(both.pixels.flatten(1).unique(dim=0)) == 4
    assert torch.equal(both.pixels[2:], alone.pixels)
