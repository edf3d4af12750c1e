"""PLG-MI against a bare loop of the same forward and backward passes: the ratio of the two is the figure to keep.

A third line leaves the augmentations out; their share of a step is also in the ``extra_info`` of its first line.
"""

from time import process_time
from timeit import repeat

import pytest
import torch

from unveil.attacks import augment
from unveil.attacks.losses import max_margin
from unveil.attacks.plgmi import AUGMENTATION, PLGMI
from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.run import Run
from unveil.harness.types import Access, Images, Ingredients, View

PEOPLE, SHAPE, STEPS, RESTARTS = 20, (3, 64, 64), 10, 3
IMAGES = PEOPLE * RESTARTS


@pytest.fixture
def world():
    """A target and a prior, untrained: they cost what trained ones do."""
    run = Run("benchmark")
    parts = SmallResNet().build(PEOPLE, SHAPE, run), ConditionalGAN(width=8).build(PEOPLE, SHAPE)
    for net in parts:
        net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return parts


def bare(target, prior, *, augmented):
    numbers = torch.rand(2 * IMAGES, augment.NUMBERS, generator=Run("benchmark").generator("numbers"))
    z = torch.randn(IMAGES, prior.latent, generator=Run("benchmark").generator("z"))
    y = torch.arange(PEOPLE).repeat_interleave(RESTARTS)
    for _ in range(STEPS):
        z.requires_grad_(True)
        x = prior.synthesize_as(z, y).repeat_interleave(2, 0)
        x = AUGMENTATION(x, numbers) if augmented else x
        (g,) = torch.autograd.grad(max_margin(target.logits(x), y.repeat_interleave(2)).sum(), z)
        z = z.detach() - 0.1 * g


def attack(target, prior):
    ingredients = Ingredients(prior, Images(torch.zeros(1, *SHAPE), torch.tensor([-1])))
    view = View(target, Access.WHITE_BOX, SHAPE)
    PLGMI(restarts=RESTARTS, steps=STEPS).reconstruct(view, ingredients, torch.arange(PEOPLE), Run("benchmark"))


WAYS = {
    "attack": attack,
    "bare loop": lambda *nets: bare(*nets, augmented=True),
    "bare loop without augmentations": lambda *nets: bare(*nets, augmented=False),
}


def share(target, prior):
    """Of the augmentations in the processor time of a step: of several tries, the fastest with and without."""
    whole, rest = (
        min(repeat(lambda way=way: way(target, prior), number=1, repeat=3, timer=process_time))
        for way in [*WAYS.values()][1:]
    )
    return 1 - rest / whole


@pytest.mark.parametrize("way", WAYS)
def test_steps(benchmark, world, way):
    benchmark.group = f"{STEPS} steps of plgmi, {IMAGES} images of {SHAPE[1]} pixels, narrow prior, small_resnet"
    benchmark.pedantic(WAYS[way], args=world, rounds=5, warmup_rounds=1)
    if way == "attack":
        benchmark.extra_info["share of the augmentations"] = round(share(*world), 3)


PROFILED = ("crop", "colour", "rotate", "all")


@pytest.mark.parametrize("part", PROFILED)
def test_augmentation(benchmark, part):
    benchmark.group = f"augmentation of {2 * IMAGES} views of {SHAPE[1]} pixels, forward and backward"
    x = torch.rand(2 * IMAGES, *SHAPE, generator=Run("benchmark").generator("x")).requires_grad_(True)
    u = torch.rand(2 * IMAGES, augment.NUMBERS, generator=Run("benchmark").generator("numbers"))
    does = {
        "crop": lambda: AUGMENTATION.crop(x, u[:, : augment.crops.NUMBERS]),
        "colour": lambda: augment.colour(x, 0.8 + 0.4 * u[:, 0], 0.8 + 0.4 * u[:, 1]),
        "rotate": lambda: augment.rotate(x, 10 * u[:, 0] - 5),
        "all": lambda: AUGMENTATION(x, u),
    }[part]
    benchmark.pedantic(lambda: torch.autograd.grad(does().sum(), x), rounds=15, warmup_rounds=2)
