"""Training under each defense, relative to none: the ratio of two lines is the figure to keep."""

import dataclasses

import pytest
import torch

from unveil.defenses.bido import BiDO
from unveil.defenses.ls import LS
from unveil.defenses.mid import MID
from unveil.defenses.none import NoDefense
from unveil.defenses.rolss import RoLSS
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training.fit import fit
from unveil.harness.types import Images
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

PEOPLE, SIDE, PICTURES = 20, 64, 512
RECIPE = Recipe(epochs=3, views=2, select="last")
STACKS = {
    "none": (NoDefense(),),
    "mid": (MID(),),
    "bido": (BiDO(),),
    "bido coco": (BiDO(measure="coco"),),
    "ls": (LS(),),
    "rolss": (RoLSS(),),
    "tl_dmi": (TLDMI("stage3"),),
    "tl_dmi+bido": (TLDMI("stage3"), BiDO()),
    "tl_dmi+mid": (TLDMI("stage3"), MID()),
}


@pytest.mark.parametrize("name", STACKS)
def test_training(benchmark, name):
    benchmark.group = f"training small_resnet, {RECIPE.epochs} epochs of {PICTURES} pictures of {SIDE} pixels"
    run = Run("benchmark")
    x = torch.rand(PICTURES, 3, SIDE, SIDE, generator=run.generator("pixels"))
    pictures = Images(x, torch.arange(PICTURES) % PEOPLE)

    def untrained():
        net = SmallResNet().build(PEOPLE, (3, SIDE, SIDE), run)
        for defense in STACKS[name]:
            net = defense.prepare(net, run)
        return (net, STACKS[name], pictures, pictures[:0], RECIPE, dataclasses.replace(run)), {}

    benchmark.pedantic(fit, setup=untrained, rounds=5, warmup_rounds=1)
