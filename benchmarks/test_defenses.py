"""One training step under each defense, relative to none: the ratio of two lines of a group is the figure to keep."""

import pytest
import torch
import torch.nn.functional as F

from unveil.defenses.bido import BiDO
from unveil.defenses.none import NoDefense
from unveil.defenses.rolss import RoLSS
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.run import Run
from unveil.harness.types import Step

PEOPLE, SIDE, BATCH = 20, 64, 64
DEFENSES = {
    "none": NoDefense(),
    "bido": BiDO(),
    "bido coco": BiDO(measure="coco"),
    "rolss": RoLSS(),
    "tl_dmi": TLDMI("stage2"),
}


@pytest.mark.parametrize("name", DEFENSES)
def test_training_step(benchmark, name):
    benchmark.group = f"training step, small_resnet, {BATCH} pictures of {SIDE} pixels"
    run, defense = Run("benchmark"), DEFENSES[name]
    x = torch.rand(BATCH, 3, SIDE, SIDE, generator=run.generator("pixels")).to(memory_format=torch.channels_last)
    y = torch.arange(BATCH) % PEOPLE
    net = defense.prepare(SmallResNet().build(PEOPLE, (3, SIDE, SIDE), run), run).train()
    optimiser = torch.optim.SGD(net.trainable(), lr=0.0)
    with torch.no_grad():
        h = net.prefix(x, net.frozen_depth)  # as in training: once per picture

    def step():
        forward = net.run_from(h, net.frozen_depth)
        seen = Step(x, y, forward, net, 0, 1, run)
        terms = defense.loss({"ce": F.cross_entropy(forward.logits, y)}, seen)
        defense.watch(seen)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()

    benchmark.pedantic(step, rounds=15, warmup_rounds=2)
