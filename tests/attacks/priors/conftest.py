"""A few public pictures and a linear target that priors may ask about them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Images, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

SHAPE = (1, 16, 16)


@pytest.fixture
def public() -> Images:
    x = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(1))
    return Images(x, torch.full((9,), -1))


@pytest.fixture
def asked() -> Callable[[], View]:
    """Makes views of the same target, of which nothing has been asked yet."""

    def made() -> View:
        with seeded(Run("2")):
            head = nn.Linear(256, 3)
        target = Classifier({"flat": nn.Flatten()}, head, classes=3, mean=(0.5,), std=(0.5,))
        return View(target, Access.WHITE_BOX, SHAPE)

    return made
