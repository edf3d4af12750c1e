"""Where the time of PLG-MI's augmentation goes; its share of a step stands among the rates of test_attacks.py."""

import pytest
import torch

from unveil.attacks import augment
from unveil.harness.words.run import Run

LOOK = augment.published(1.0)

VIEWS, SHAPE = 120, (3, 64, 64)
PROFILED = ("crop", "colour", "rotate", "all")


@pytest.mark.parametrize("part", PROFILED)
def test_augmentation(benchmark, part):
    benchmark.group = f"augmentation of {VIEWS} views of {SHAPE[1]} pixels, forward and backward"
    x = torch.rand(VIEWS, *SHAPE, generator=Run("benchmark").generator("x")).requires_grad_(True)
    u = torch.rand(VIEWS, augment.NUMBERS, generator=Run("benchmark").generator("numbers"))
    does = {
        "crop": lambda: LOOK.crop(x, u[:, : augment.crops.NUMBERS]),
        "colour": lambda: augment.colour(x, 0.8 + 0.4 * u[:, 0], 0.8 + 0.4 * u[:, 1]),
        "rotate": lambda: augment.rotate(x, 10 * u[:, 0] - 5),
        "all": lambda: LOOK(x, u),
    }[part]
    benchmark.pedantic(lambda: torch.autograd.grad(does().sum(), x), rounds=15, warmup_rounds=2)
