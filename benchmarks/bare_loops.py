"""Every attack in an untrained world, and the bare loop of the same passes that its rate is held against.

An attack is timed whole: with its starts, its random numbers, the pictures along its path and those it returns. Where
pictures are changed on their way to the target (crops, mirrors, PLG-MI's views), that is part of the bare loop's pass,
for the paper's objective has it; a second loop leaves it out, so that its share can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F

from unveil.attacks import augment
from unveil.attacks.brep_mi import BREPMI, FIRST
from unveil.attacks.gmi import GMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lomma import LOMMA
from unveil.attacks.losses import max_margin
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.pixel_adversarial import PixelAdversarial
from unveil.attacks.plgmi import COPIES, PLGMI
from unveil.attacks.ppa import PPA
from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.attacks.priors.inversion_gan import InversionGAN
from unveil.attacks.priors.style_gan import StyleGAN
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.attacks.public_lookalikes import PublicLookalikes
from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.types import Images, Ingredients, Spec, Surrogate, View
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.needs import needs_of
from unveil.harness.words.run import Run

SHAPE = (3, 64, 64)
STUDENTS = (Spec("plain_cnn", {"width": 12}), Spec("small_resnet", {"width": 12}))
Loops = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Scale:
    """How much there is to do.

    Attributes:
        people: Attacked at once.
        each: Samples of each.
        steps: Of descent.
        width: Of GANs; a style GAN has 8 at full resolution whatever this is.
        public: Public pictures.
    """

    people: int = 4
    each: int = 2
    steps: int = 32
    width: int = 8
    public: int = 2048

    @property
    def samples(self) -> int:
        """Searched at once."""
        return self.people * self.each


def frozen(net: Any, device: torch.device) -> Any:
    return net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


def random(*shape: int, device: torch.device | str = "cpu") -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)


class World:
    """A target, students and priors, all untrained: they cost what trained ones do."""

    def __init__(self, scale: Scale = Scale(), run: Run | None = None) -> None:
        self.scale, self.run = scale, run or Run("benchmark")
        device, people = self.run.device, scale.people
        self.target = frozen(SmallResNet().build(people, SHAPE, self.run), device)
        made = (PlainCNN(width=12), SmallResNet(width=12))
        self.students = [frozen(model.build(people, SHAPE, self.run), device) for model in made]
        self.public = Images(random(scale.public, *SHAPE), torch.full((scale.public,), -1))
        priors = {
            "wgan_gp": WGANGP(width=scale.width),
            "inversion_gan": InversionGAN(width=scale.width),
            "conditional_gan": ConditionalGAN(width=scale.width),
            "style_gan": StyleGAN(width=8, width_max=64, latent=64, mapping_layers=2),
        }
        self.prior = lru_cache(lambda name: frozen(priors[name].build(people, SHAPE), device))
        # An untrained target calls every picture the same; an attack that walks from label to label needs all of them.
        with torch.no_grad():
            z = random(FIRST, 100, device=device) * 2 - 1
            self.target.head.bias -= self.target.logits(self.prior("wgan_gp").synthesize(z)).mean(0)

    def prior_of(self, attack: Any) -> Any:
        return self.prior(needs_of(attack)["prior"].prior.use)

    def attacked(self, attack: Any) -> Any:
        """What an attack on everybody has spent."""
        view = View(self.target, attack.access, SHAPE, compiler=self.run.compile)
        needs = needs_of(attack)
        prior = self.prior_of(attack) if "prior" in needs else None
        students = self.students if any(isinstance(need, Surrogate) for need in needs.values()) else ()
        labels = torch.arange(self.scale.people)
        attack.reconstruct(view, Ingredients(prior, self.public, students), labels, self.run)
        return view.spent

    @contextmanager
    def asked(self) -> Iterator[list[int]]:
        """How many pictures the target is asked about at once, each time."""
        sizes: list[int] = []
        logits = self.target.logits

        def counted(x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return logits(x)

        self.target.logits = counted
        try:
            yield sizes
        finally:
            del self.target.logits

    def descend(self, loss: Callable[..., torch.Tensor], z: torch.Tensor) -> torch.Tensor:
        """So many forward and backward passes, and nothing else."""
        z = z.to(self.run.device)
        y = torch.arange(len(z), device=z.device) % self.scale.people
        for _ in range(self.scale.steps):
            z.requires_grad_(True)
            with self.run.autocast():
                value = loss(z, y)
            (g,) = torch.autograd.grad(value, z)
            z = z.detach() - 0.01 * g
        return z


def by_latents(world: World, attack: Any) -> Loops:
    """GMI's and KEDMI's pass, with students and the regulariser where LOMMA has them."""
    prior, base = world.prior_of(attack), attack.attack() if isinstance(attack, LOMMA) else attack
    students = world.students if isinstance(attack, LOMMA) else ()
    samples = world.scale.people if isinstance(base, KEDMI) else world.scale.samples

    def loss(z, y):
        x = prior.synthesize(z)
        f = world.target.features(x)
        outputs = [world.target.head(f), *(student.logits(x) for student in students)]
        loss = sum(F.cross_entropy(o.float(), y, reduction="sum") for o in outputs) - prior.realism(x).float().sum()
        return loss + f.float().square().sum() if students else loss

    return {"the bare loop": lambda: world.descend(loss, random(samples, prior.latent))}


def by_views(world: World, attack: Any) -> Loops:
    """PLG-MI's pass: each picture is seen by the target twice, changed by kornia or not."""
    prior = world.prior_of(attack)
    u = random(COPIES * world.scale.samples, augment.NUMBERS, device=world.run.device)

    def loss(z, y, change):
        x = prior.synthesize_as(z, y).repeat_interleave(COPIES, 0)
        return max_margin(world.target.logits(change(x)).float(), y.repeat_interleave(COPIES)).sum()

    return _with_and_without(world, loss, lambda x: augment.published(1.0)(x, u), prior.latent)


def by_styles(world: World, attack: Any) -> Loops:
    """PPA's pass, with its crops, and MIRROR's, which mirrors every other picture."""
    prior, u = world.prior_of(attack), random(world.scale.samples, NUMBERS, device=world.run.device)
    flip = (u[:, 0] < 0.5)[:, None, None, None]
    crop = RandomCrop(attack.crop_scale) if isinstance(attack, PPA) else None

    def change(x):
        return crop(x, u) if crop else torch.where(flip, x.flip(-1), x)

    def loss(w, y, change):
        x = prior.synthesize_w(w[:, None].expand(-1, prior.num_ws, -1))
        return F.cross_entropy(world.target.logits(change(x)).float(), y, reduction="sum")

    return _with_and_without(world, loss, change, prior.latent)


def _with_and_without(world: World, loss: Callable[..., Any], change: Callable[..., Any], latent: int) -> Loops:
    def loop(through):
        return lambda: world.descend(lambda z, y: loss(z, y, through), random(world.scale.samples, latent))

    return {"the bare loop": loop(change), "one that leaves pictures as they are": loop(lambda x: x)}


def by_pixels(world: World, attack: Any) -> Loops:  # noqa: ARG001 (called as the others are)
    def loss(x, y):
        return F.cross_entropy(world.target.logits(x).float(), y, reduction="sum")

    x = random(world.scale.samples, *SHAPE).to(memory_format=torch.channels_last)
    return {"the bare loop": lambda: world.descend(loss, x.clone())}


def by_answers(world: World, attack: Any) -> Loops:
    """The same questions, in batches of the same sizes, without gradients."""
    with world.asked() as sizes:
        world.attacked(attack)
    device = world.run.device

    @torch.no_grad()
    def ask() -> None:
        for count in sizes:
            if not needs_of(attack):
                x = world.public.pixels[:count].to(device)
            else:
                prior = world.prior_of(attack)
                x = prior.synthesize(random(count, prior.latent, device=device))
            world.target.logits(x).softmax(1).cpu()

    return {"the bare loop": ask}


def trials(scale: Scale) -> dict[str, tuple[Any, Callable[[World, Any], Loops]]]:
    """Attacks of that scale by name, and what makes their bare loops."""
    each, steps, whole = scale.each, scale.steps, {"batch": max(scale.samples, 8)}
    gmi, kedmi = {"restarts": each, "steps": steps, **whole}, {"steps": steps, **whole}
    students = {"students": STUDENTS, "reference": 1}
    return {
        "gmi": (GMI(**gmi), by_latents),
        "kedmi": (KEDMI(**kedmi), by_latents),
        "lomma gmi": (LOMMA(Spec("gmi", gmi), **students), by_latents),
        "lomma kedmi": (LOMMA(Spec("kedmi", kedmi), **students), by_latents),
        "plgmi": (PLGMI(**gmi), by_views),
        "ppa": (PPA(pool=each, candidates=each, keep=each, steps=steps, **whole), by_styles),
        "mirror_white_box": (
            MirrorWhiteBox(presamples=max(each, 2), restarts=each, samples=each, steps=steps, **whole),
            by_styles,
        ),
        "mirror": (
            Mirror(
                presamples=200, samples=1, population=40, generations=6, confidence=1.0, batch=max(scale.samples, 200)
            ),
            by_answers,
        ),
        "brep_mi": (BREPMI(queries=FIRST + 33 * 8, first_queries=FIRST), by_answers),
        "pixel_adversarial": (PixelAdversarial(samples=each, steps=steps, **whole), by_pixels),
        "public_lookalikes": (PublicLookalikes(), by_answers),
    }
