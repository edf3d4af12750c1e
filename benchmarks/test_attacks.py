"""Every attack's rate, in sample-steps per second, against a bare loop of the same passes through the same networks.

Both are timed whole: an attack with its starts, its random numbers, the pictures along its path and those it returns.
Where pictures are changed on their way to the target (crops, mirrors, PLG-MI's views), that is part of the bare loop's
pass, for the paper's objective has it; a second loop leaves it out, so that its share can be seen.
"""

from functools import lru_cache, partial

import pytest
import torch
import torch.nn.functional as F

from unveil.attacks import augment
from unveil.attacks.brep_mi import BREPMI, FIRST
from unveil.attacks.crops import NUMBERS, RandomCrop
from unveil.attacks.gmi import GMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lomma import LOMMA
from unveil.attacks.losses import max_margin
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.pixel_adversarial import PixelAdversarial
from unveil.attacks.plgmi import AUGMENTATION, COPIES, PLGMI
from unveil.attacks.ppa import PPA
from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.attacks.priors.inversion_gan import InversionGAN
from unveil.attacks.priors.style_gan import StyleGAN
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.attacks.public_lookalikes import PublicLookalikes
from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.types import Images, Ingredients, Spec, Surrogate, View
from unveil.harness.words.needs import needs_of
from unveil.harness.words.run import Run

PEOPLE, SHAPE, STEPS, EACH = 4, (3, 64, 64), 32, 2
SAMPLES = PEOPLE * EACH
LABELS = torch.arange(PEOPLE)
STUDENTS = (Spec("plain_cnn", {"width": 12}), Spec("small_resnet", {"width": 12}))
PRIORS = {
    "wgan_gp": WGANGP(width=8),
    "inversion_gan": InversionGAN(width=8),
    "conditional_gan": ConditionalGAN(width=8),
    "style_gan": StyleGAN(width=8, width_max=64, latent=64, mapping_layers=2),
}


def frozen(net):
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def random(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


class World:
    """A target, students and priors, all untrained: they cost what trained ones do."""

    def __init__(self):
        run = Run("benchmark")
        self.target = frozen(SmallResNet().build(PEOPLE, SHAPE, run))
        self.students = [
            frozen(model.build(PEOPLE, SHAPE, run)) for model in (PlainCNN(width=12), SmallResNet(width=12))
        ]
        self.public = Images(random(2048, *SHAPE), torch.full((2048,), -1))
        self.prior = lru_cache(lambda name: frozen(PRIORS[name].build(PEOPLE, SHAPE)))
        # An untrained target calls every picture the same; an attack that walks from label to label needs all of them.
        with torch.no_grad():
            seen = self.target.logits(self.prior("wgan_gp").synthesize(random(FIRST, 100) * 2 - 1))
            self.target.head.bias -= seen.mean(0)

    def prior_of(self, attack):
        return self.prior(needs_of(attack)["prior"].prior.use)

    def attacked(self, attack):
        view = View(self.target, attack.access, SHAPE)
        needs = needs_of(attack)
        prior = self.prior_of(attack) if "prior" in needs else None
        students = self.students if any(isinstance(need, Surrogate) for need in needs.values()) else ()
        attack.reconstruct(view, Ingredients(prior, self.public, students), LABELS, Run("benchmark"))
        return view.spent


@pytest.fixture(scope="module")
def world():
    return World()


def descend(loss, z):
    """STEPS forward and backward passes, and nothing else."""
    for _ in range(STEPS):
        z.requires_grad_(True)
        (g,) = torch.autograd.grad(loss(z, torch.arange(len(z)) % PEOPLE), z)
        z = z.detach() - 0.01 * g


def by_latents(world, attack, samples=SAMPLES):
    """GMI's and KEDMI's pass, with students and the regulariser where LOMMA has them."""
    prior = world.prior_of(attack)
    students = world.students if isinstance(attack, LOMMA) else ()

    def loss(z, y):
        x = prior.synthesize(z)
        f = world.target.features(x)
        outputs = [world.target.head(f), *(student.logits(x) for student in students)]
        loss = sum(F.cross_entropy(o, y, reduction="sum") for o in outputs) - prior.realism(x).sum()
        return loss + f.square().sum() if students else loss

    return {"the bare loop": lambda: descend(loss, random(samples, prior.latent))}


def by_views(world, attack):
    """PLG-MI's pass: each picture is seen by the target twice, changed by kornia or not."""
    prior, u = world.prior_of(attack), random(COPIES * SAMPLES, augment.NUMBERS)

    def loss(z, y, change):
        x = prior.synthesize_as(z, y).repeat_interleave(COPIES, 0)
        return max_margin(world.target.logits(change(x)), y.repeat_interleave(COPIES)).sum()

    return _with_and_without(loss, lambda x: AUGMENTATION(x, u), prior.latent)


def by_styles(world, attack):
    """PPA's pass, with its crops, and MIRROR's, which mirrors every other picture."""
    prior, u = world.prior_of(attack), random(SAMPLES, NUMBERS)
    flip = (u[:, 0] < 0.5)[:, None, None, None]
    crop = RandomCrop(attack.crop_scale) if isinstance(attack, PPA) else None

    def change(x):
        return crop(x, u) if crop else torch.where(flip, x.flip(-1), x)

    def loss(w, y, change):
        x = prior.synthesize_w(w[:, None].expand(-1, prior.num_ws, -1))
        return F.cross_entropy(world.target.logits(change(x)), y, reduction="sum")

    return _with_and_without(loss, change, prior.latent)


def _with_and_without(loss, change, latent):
    return {
        "the bare loop": lambda: descend(lambda z, y: loss(z, y, change), random(SAMPLES, latent)),
        "one that leaves pictures as they are": lambda: descend(
            lambda z, y: loss(z, y, lambda x: x), random(SAMPLES, latent)
        ),
    }


def by_pixels(world, attack):  # noqa: ARG001 (called as the others are)
    def loss(x, y):
        return F.cross_entropy(world.target.logits(x), y, reduction="sum")

    return {"the bare loop": lambda: descend(loss, random(SAMPLES, *SHAPE).to(memory_format=torch.channels_last))}


def by_answers(world, attack):
    """The same questions, in batches of the same sizes, without gradients."""
    queries = world.attacked(attack).queries

    @torch.no_grad()
    def ask():
        for count in _questions(attack, queries):
            if not needs_of(attack):
                x = world.public.pixels[:count]
            else:
                prior = world.prior_of(attack)
                x = prior.synthesize(random(count, prior.latent))
            world.target.logits(x).softmax(1)

    return {"the bare loop": ask}


def _questions(attack, queries):
    """How many pictures are asked about at once, each time."""
    if not isinstance(attack, BREPMI):
        return [min(attack.batch, queries - done) for done in range(0, queries, attack.batch)]
    rounds, rest = divmod(queries - FIRST, PEOPLE * (attack.directions + 1))
    assert rest == 0, "a class was not found, or came to its end before the others"
    return [FIRST, *[PEOPLE * attack.directions, PEOPLE] * rounds]


TRIALS = {
    "gmi": (GMI(restarts=EACH, steps=STEPS), by_latents),
    "kedmi": (KEDMI(steps=STEPS), partial(by_latents, samples=PEOPLE)),
    "lomma gmi": (LOMMA(Spec("gmi", {"restarts": EACH, "steps": STEPS}), students=STUDENTS, reference=1), by_latents),
    "lomma kedmi": (
        LOMMA(Spec("kedmi", {"steps": STEPS}), students=STUDENTS, reference=1),
        partial(by_latents, samples=PEOPLE),
    ),
    "plgmi": (PLGMI(restarts=EACH, steps=STEPS), by_views),
    "ppa": (PPA(pool=EACH, candidates=EACH, keep=EACH, steps=STEPS), by_styles),
    "mirror_white_box": (MirrorWhiteBox(presamples=EACH, restarts=EACH, samples=EACH, steps=STEPS), by_styles),
    "mirror": (Mirror(presamples=200, samples=1, population=40, generations=6, confidence=1.0), by_answers),
    "brep_mi": (BREPMI(queries=FIRST + 33 * 8, first_queries=FIRST), by_answers),
    "pixel_adversarial": (PixelAdversarial(samples=EACH, steps=STEPS), by_pixels),
    "public_lookalikes": (PublicLookalikes(), by_answers),
}


@pytest.mark.parametrize("name", TRIALS)
def test_rate(against, world, name):
    attack, bare = TRIALS[name]
    against(lambda: world.attacked(attack), bare(world, attack))
