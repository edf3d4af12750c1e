"""LOMMA's steps against a bare loop of the same forward and backward passes; the ratio of the two is the figure."""

import pytest
import torch
import torch.nn.functional as F

from unveil.attacks.lomma import LOMMA
from unveil.attacks.priors.inversion_gan import InversionGAN
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.run import Run
from unveil.harness.types import Access, Images, Ingredients, Spec, View

PEOPLE, SHAPE, STEPS, SAMPLES = 12, (3, 64, 64), 30, 3
PRIORS = {"gmi": WGANGP(width=8), "kedmi": InversionGAN(width=8)}
STUDENTS = (Spec("plain_cnn", {"width": 12}), Spec("small_resnet", {"width": 12}))


@pytest.fixture(params=PRIORS)
def world(request):
    """An attack, its target, students and prior, all untrained: they cost what trained ones do."""
    run = Run("benchmark")
    target = SmallResNet().build(PEOPLE, SHAPE, run)
    students = [PlainCNN(width=12).build(PEOPLE, SHAPE, run), SmallResNet(width=12).build(PEOPLE, SHAPE, run)]
    prior = PRIORS[request.param].build(PEOPLE, SHAPE)
    for net in (target, *students, prior):
        net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    public = Images(torch.rand(1, *SHAPE, generator=run.generator("public")), torch.tensor([-1]))
    return request.param, target, Ingredients(prior, public, students)


@pytest.mark.parametrize("way", ["attack", "bare loop"])
def test_steps(benchmark, world, way):
    base, target, ingredients = world
    images = PEOPLE * SAMPLES if base == "gmi" else PEOPLE
    benchmark.group = f"{STEPS} steps of lomma on {base}, {images} images of {SHAPE[1]} pixels, two small students"
    attack = LOMMA(base, students=STUDENTS, samples=SAMPLES, steps=STEPS)

    def whole():
        view = View(target, Access.WHITE_BOX, SHAPE)
        attack.reconstruct(view, ingredients, torch.arange(PEOPLE), Run("benchmark"))

    def bare():
        z = torch.randn(images, ingredients.prior.latent, generator=torch.Generator().manual_seed(0))
        y = torch.arange(images) % PEOPLE
        for _ in range(STEPS):
            z.requires_grad_(True)
            x = ingredients.prior.synthesize(z)
            f = target.features(x)
            outputs = [target.head(f), *(student.logits(x) for student in ingredients.surrogates)]
            loss = sum(F.nll_loss(o, y) for o in outputs) + f.square().mean() - ingredients.prior.realism(x).mean()
            (g,) = torch.autograd.grad(loss, z)
            z = z.detach() - 0.02 * g

    benchmark.pedantic(whole if way == "attack" else bare, rounds=3, warmup_rounds=1)
