"""PPA's and MIRROR's steps against a bare loop of the same passes; the ratio of two lines of a group is the figure."""

import pytest
import torch
import torch.nn.functional as F

from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.ppa import PPA
from unveil.attacks.priors.style_gan import StyleGAN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.run import Run
from unveil.harness.types import Access, Images, Ingredients, View

PEOPLE, SHAPE, STEPS, EACH = 20, (3, 64, 64), 40, 2
SAMPLES = PEOPLE * EACH


@pytest.fixture(scope="module")
def world():
    """A target and a prior, untrained: they cost what trained ones do."""
    target = SmallResNet().build(PEOPLE, SHAPE, Run("benchmark"))
    prior = StyleGAN(width=8, width_max=64, latent=64, mapping_layers=2).build(PEOPLE, SHAPE)
    for net in (target, prior):
        net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return target, prior


def attacked(attack, world):
    target, prior = world
    public = Images(torch.zeros(1, *SHAPE), torch.tensor([-1]))
    view = View(target, attack.access, SHAPE)
    attack.reconstruct(view, Ingredients(prior, public), torch.arange(PEOPLE), Run("benchmark"))
    return view.spent


def descend(world):
    """STEPS forward and backward passes, and nothing else."""
    target, prior = world
    w = torch.randn(SAMPLES, 64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(SAMPLES) % PEOPLE
    for _ in range(STEPS):
        w.requires_grad_(True)
        loss = F.cross_entropy(target.logits(prior.synthesize_w(w[:, None].expand(-1, prior.num_ws, -1))), y)
        (g,) = torch.autograd.grad(loss, w)
        w = w.detach() - 0.01 * g


@torch.no_grad()
def ask(world, count):
    """So many forward passes, and nothing else."""
    target, prior = world
    w = torch.randn(count, 64, generator=torch.Generator().manual_seed(0))
    for part in w.split(200):
        target.logits(prior.synthesize_w(part[:, None].expand(-1, prior.num_ws, -1))).softmax(1)


WHITE_BOX = {
    "ppa": PPA(pool=EACH, candidates=EACH, keep=EACH, steps=STEPS),
    "mirror_white_box": MirrorWhiteBox(presamples=EACH, restarts=EACH, samples=EACH, steps=STEPS),
}


@pytest.mark.parametrize("way", [*WHITE_BOX, "bare loop"])
def test_steps(benchmark, world, way):
    benchmark.group = f"{STEPS} steps, {SAMPLES} images of {SHAPE[1]} pixels, small style prior, small_resnet"
    if way == "bare loop":
        benchmark.pedantic(descend, (world,), rounds=3, warmup_rounds=1)
    else:
        benchmark.pedantic(attacked, (WHITE_BOX[way], world), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("way", ["mirror", "bare loop"])
def test_queries(benchmark, world, way):
    attack = Mirror(presamples=100, samples=1, population=20, generations=2, confidence=1.0)
    queries = attacked(attack, world).queries
    benchmark.group = f"{queries} score queries, images of {SHAPE[1]} pixels, small style prior, small_resnet"
    if way == "bare loop":
        benchmark.pedantic(ask, (world, queries), rounds=3, warmup_rounds=1)
    else:
        benchmark.pedantic(attacked, (attack, world), rounds=3, warmup_rounds=1)
    assert attack.access is Access.SCORES
