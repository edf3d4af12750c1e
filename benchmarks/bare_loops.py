"""Every attack in an untrained world, and the bare loop of the same passes that its rate is held against.

An attack is timed whole: with its starts, its random numbers, the pictures along its path and those it returns. Where
pictures are changed on their way to the target (crops, mirrors, PLG-MI's views), that is part of the bare loop's pass,
for the paper's objective has it; a second loop leaves it out, so that its share can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F

from unveil.attacks import augment
from unveil.attacks.align_mi import ASPECTS
from unveil.attacks.brep_mi import FIRST
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.layers import LayeredSpace, nothing
from unveil.attacks.lomma import LOMMA
from unveil.attacks.losses import max_margin
from unveil.attacks.plgmi import COPIES
from unveil.attacks.ppa import PPA
from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.attacks.priors.inversion_gan import InversionGAN
from unveil.attacks.priors.style_gan import StyleGAN
from unveil.attacks.priors.t_acgan import TACGAN
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.attacks.wspace import WSpace
from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.types import Given, Images, Ingredients, Model, Spec, Surrogate, View
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
        target: What is attacked.
    """

    people: int = 4
    each: int = 2
    steps: int = 32
    width: int = 8
    public: int = 2048
    target: Model = field(default_factory=SmallResNet)

    @property
    def samples(self) -> int:
        """Searched at once."""
        return self.people * self.each


def frozen(net: Any, device: torch.device) -> Any:
    return net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


def _last_bias(head: torch.nn.Module) -> torch.Tensor:
    return [bias for name, bias in head.named_parameters() if name.endswith("bias")][-1]


def random(*shape: int, device: torch.device | str = "cpu") -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)


class World:
    """A target, students and priors, all untrained: they cost what trained ones do."""

    def __init__(self, scale: Scale = Scale(), run: Run | None = None) -> None:
        self.scale, self.run = scale, run or Run("benchmark")
        device, people = self.run.device, scale.people
        self.target = frozen(scale.target.build(people, SHAPE, self.run), device)
        made = (PlainCNN(width=12), SmallResNet(width=12))
        self.students = [frozen(model.build(people, SHAPE, self.run), device) for model in made]
        self.public = Images(random(scale.public, *SHAPE), torch.full((scale.public,), -1))
        priors = {
            "wgan_gp": WGANGP(width=scale.width),
            "inversion_gan": InversionGAN(width=scale.width),
            "conditional_gan": ConditionalGAN(width=scale.width),
            "style_gan": StyleGAN(width=8, width_max=64, latent=64, mapping_layers=2),
            "t_acgan": TACGAN(width=scale.width),
        }
        self.prior = lru_cache(lambda name: frozen(priors[name].build(people, SHAPE), device))
        # An untrained target calls every picture the same; an attack that walks from label to label needs all of them.
        with torch.no_grad():
            z = random(FIRST, 100, device=device) * 2 - 1
            _last_bias(self.target.head).sub_(self.target.logits(self.prior("wgan_gp").synthesize(z)).mean(0))

    def prior_of(self, attack: Any) -> Any:
        return self.prior(needs_of(attack)["prior"].prior.use)

    def attacked(self, attack: Any) -> Any:
        """What an attack on everybody has spent."""
        view = View(self.target, attack.access, SHAPE, compiler=self.run.compile)
        needs = needs_of(attack)
        prior = self.prior_of(attack) if "prior" in needs else None
        students = self.students if any(isinstance(need, Surrogate) for need in needs.values()) else ()
        labels, foreign = torch.arange(self.scale.people), self.students[0]
        given = Given(models={"trunk": foreign, "embedder": foreign})
        attack.reconstruct(view, Ingredients(prior, self.public, students, given), labels, self.run)
        return view.spent

    def in_full(self) -> AbstractContextManager[None]:
        """Float32 in the block whatever the run's precision: how styles are drawn."""
        return torch.autocast(self.run.device.type, enabled=False)

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
        with world.in_full():
            x = prior.synthesize_w(w[:, None].expand(-1, prior.num_ws, -1))
        return F.cross_entropy(world.target.logits(change(x)).float(), y, reduction="sum")

    return _with_and_without(world, loss, change, prior.latent)


def _with_and_without(world: World, loss: Callable[..., Any], change: Callable[..., Any], latent: int) -> Loops:
    def loop(through):
        return lambda: world.descend(lambda z, y: loss(z, y, through), random(world.scale.samples, latent))

    return {"the bare loop": loop(change), "one that leaves pictures as they are": loop(lambda x: x)}


def by_stages(world: World, attack: Any) -> Loops:
    """IF-GMI's pass: from a style, and then from a style and the features that the next block takes in."""
    prior, u = world.prior_of(attack), random(world.scale.samples, NUMBERS, device=world.run.device)
    space, crop = LayeredSpace(prior, SHAPE), RandomCrop(attack.crop_scale)
    y = torch.arange(world.scale.samples, device=world.run.device) % world.scale.people

    def slopes(stage: int, w, h, rgb):
        searched = [w, h] if stage else [w]
        x = space.onward(stage, w, h, rgb)
        with world.run.autocast():
            loss = F.cross_entropy(world.target.logits(crop(x, u)).float(), y, reduction="sum")
        return torch.autograd.grad(loss, searched)

    def descend():
        w = random(world.scale.samples, prior.latent, device=world.run.device)
        h = rgb = nothing(w)
        for stage, steps in enumerate(attack.stages):
            if stage:
                with torch.no_grad():
                    h, rgb = space.between(stage - 1, stage, w, h, rgb)
            for _ in range(steps):
                w, h = w.detach().requires_grad_(True), h.detach().requires_grad_(bool(stage))
                moves = slopes(stage, w, h, rgb)
                w, h = w.detach() - 0.01 * moves[0], h.detach() - 0.01 * moves[1] if stage else h

    return {"the bare loop": descend}


def by_neighbours(world: World, attack: Any) -> Loops:
    """GMI's pass with the slope at a picture as the mean over its neighbours, which are seen one by one."""
    prior, samples, count = world.prior_of(attack), world.scale.samples, attack.neighbours
    u = random(count, samples, augment.NUMBERS, device=world.run.device)
    change = augment.Augmentation(RandomCrop(attack.crop, ASPECTS, attack.flip), 0.0, 0.0, 0.0, attack.degrees)

    def loss(z, y):
        x = prior.synthesize(z)
        slope = torch.zeros_like(x)
        for k in range(count):
            seen = x.detach().requires_grad_(True)
            value = F.cross_entropy(world.target.logits(change(seen, u[k])).float(), y, reduction="sum")
            slope += torch.autograd.grad(value, seen)[0] / count
        return (x * slope).float().sum() - prior.realism(x).float().sum()

    return {"the bare loop": lambda: world.descend(loss, random(samples, prior.latent))}


def by_layers(world: World, attack: Any) -> Loops:
    """VMI's pass, from a latent for each style layer; without the flows that draw these."""
    prior, space = world.prior_of(attack), WSpace(world.prior_of(attack), SHAPE)

    def loss(u, y):
        with world.in_full():
            w = space.map(u.flatten(0, 1), 1.0, None)[:, 0].unflatten(0, u.shape[:2])
            x = space.pictures(w)
        return F.cross_entropy(world.target.logits(x).float(), y, reduction="sum")

    return {"the bare loop": lambda: world.descend(loss, random(world.scale.samples, prior.num_ws, prior.latent))}


def by_surrogates(world: World, attack: Any) -> Loops:
    """LOKT's pass, which is PLG-MI's on networks that were taught by labels."""
    prior = world.prior_of(attack)
    u = random(COPIES * world.scale.samples, augment.NUMBERS, device=world.run.device)

    def loss(z, y, change):
        x, y = change(prior.synthesize_as(z, y).repeat_interleave(COPIES, 0)), y.repeat_interleave(COPIES)
        return torch.stack([max_margin(one.logits(x).float(), y).sum() for one in world.students]).mean()

    return _with_and_without(world, loss, lambda x: augment.published(1.0)(x, u), prior.latent)


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
