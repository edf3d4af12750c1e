"""The prior of PLG-MI: a GAN that is told the class, taught by public pictures the target takes for that class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch.optim import Adam

from unveil.attacks import augment
from unveil.attacks.losses import max_margin
from unveil.attacks.priors import gan, made_from, released
from unveil.attacks.priors.conditional_networks import DPLG, GPLG, LATENT, TaughtGPLG
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import (
    Access,
    Generator,
    Given,
    Images,
    LocalSpec,
    Need,
    Run,
    Spent,
    View,
    draw_normal,
)
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.prior import Renamed
from unveil.harness.words.spec import LATER

SIGNED = "set the prior's signed = true, or take weights that were trained with pictures in [0, 1]"
CHUNK = 256  # public pictures that the target is asked about at once
Judge: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Pixels ``(N, C, H, W)`` and classes ``(N,)`` to scores ``(N,)``; higher looks more like a real one of its class."""


class ProjectionGAN(TaughtGPLG[DPLG]):
    """A class-conditional generator and the discriminator that it was trained against."""

    def realism(self, x: Tensor) -> Tensor:
        """``ψ(v)``, ``(N,)``: the part of the discriminator's score that asks for no class."""
        out: Tensor = self.critic(x, None)
        return out


@dataclass(frozen=True)
class ConditionalGAN:
    """Class-conditional GAN, taught by the public pictures the target takes for each class: the prior of PLG-MI.

    Trained anew for each defended target. Each class's pictures are those that the target gives its highest scores;
    a picture may serve several classes. All pixels, generated ones too, are in [0, 1]: the released code instead
    shows its target and its discriminator generated pictures in [-1, 1] beside real ones in [0, 1].

    Attributes:
        top: Public pictures of each class (all of them, if there are fewer).
        width: Channels of the narrowest layer of both networks; 64 as published.
        steps: Updates of the generator, each before ``critic_steps`` of the discriminator.
        batch: Pictures in a batch.
        lr: Learning rate of Adam with betas (0, .9), for both networks.
        critic_steps: Updates of the discriminator per update of the generator.
        margin: Weight of the target's max-margin loss against the discriminator's score.
        learn_from: Another prior, such as ``"mobile_style"``, among whose pictures those of each class are selected, in
            place of the public ones; none selects among these.
        samples: How many pictures it draws.
        signed: Whether generated pixels are in [-1, 1], as released, and are shown so to a discriminator and a target
            that know [0, 1]. An attack's pictures are clipped to [0, 1] in the end.
        turned: Probability that a view of a generated picture is turned; .5 as released.
    """

    top: Annotated[int, Field(ge=1)] = 30
    width: Annotated[int, Field(ge=1)] = 64
    steps: Annotated[int, Field(ge=1)] = 30_000
    batch: Annotated[int, Field(ge=2)] = 64
    lr: Annotated[float, Field(gt=0)] = 2e-4
    critic_steps: Annotated[int, Field(ge=1)] = 5
    margin: Annotated[float, Field(ge=0)] = 0.2
    learn_from: LocalSpec | None = None
    samples: Annotated[int, Field(ge=1)] = 4000
    signed: Annotated[bool, LATER] = False
    turned: Annotated[Annotated[float, Field(ge=0, le=1)], LATER] = 1.0

    paper: ClassVar[str] = "Yuan et al., Pseudo Label-Guided Model Inversion Attack via Conditional GAN, AAAI 2023"
    access: ClassVar[Access | None] = Access.WHITE_BOX

    def needs(self) -> Mapping[str, Need]:
        """Another prior, where it learns from one."""
        return made_from.needs("z100", self.learn_from)

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that change nothing beside the others."""
        return made_from.idle(self.learn_from)

    def canonical(self) -> Mapping[str, Any]:
        """Settings as identities say them."""
        return made_from.canonical(self)

    def content(self) -> Mapping[str, str]:
        """Nothing is read from outside; another prior is a need."""
        return made_from.content("z100", self.learn_from)

    def build(self, classes: int, shape: tuple[int, int, int]) -> ProjectionGAN:
        """The untrained networks."""
        return self._drawn(classes, shape, Run("untrained"))

    def _drawn(self, classes: int, shape: tuple[int, int, int], run: Run) -> ProjectionGAN:
        with seeded(run, "weights"):
            g = GPLG(shape, classes, self.width, signed=self.signed)
            return ProjectionGAN(g, DPLG(shape, classes, self.width))

    def released(self, generator: Generator) -> Renamed:
        """Its networks by the released names; see `harness.words.prior.Renaming`."""
        assert isinstance(generator, ProjectionGAN)
        parts = {"generator": released.of_gplg(generator.network), "critic": released.of_dplg(generator.critic)}
        learnt = "its generator learnt to show its pixels in [-1, 1] to a target that knows [0, 1]"
        return Renamed(
            parts,
            "" if self.signed else learnt,
            ("signed = true, which shows its pictures as the released code does", SIGNED),
        )

    def fit(
        self, generator: Generator, public: Images, view: View | None, run: Run, given: Given | None = None
    ) -> Mapping[str, Sequence[float]]:
        """Selects the pictures of each class, then trains both networks; see `harness.types.Prior.fit`.

        Raises:
            UnveilError: If there is no target to ask.
        """
        assert isinstance(generator, ProjectionGAN)
        if view is None:
            raise UnveilError("conditional_gan was given no target", "the view of the target it is trained for")
        generator.load_state_dict(self._drawn(view.classes, public.shape, run).state_dict())
        generator.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        g, d = generator.network.train().requires_grad_(True), generator.critic.train().requires_grad_(True)
        adam_g, adam_d = (Adam(part.parameters(), lr=self.lr, betas=(0.0, 0.9)) for part in (g, d))
        shown = made_from.lessons(public, self.learn_from, self.samples, given, run)
        look = augment.published(0.5, self.turned, signed=self.signed)
        pairs = Pairs(shown, select(view, shown, self.top, run), self.batch, run)

        def improve_generator(i: int) -> Mapping[str, float]:
            u = torch.rand(pairs.size, augment.NUMBERS, generator=run.generator("augment", i)).to(run.device)
            z, y = draw(run, "generator", i, pairs.size, view.classes)
            d.requires_grad_(False)
            fake = g(z, y)
            hinge, margin = generator_losses(d, view, fake, look(fake, u), y)
            gan.descend(adam_g, hinge + self.margin * margin)
            d.requires_grad_(True)
            return {"generator": hinge.item(), "margin": margin.item()}

        def improve_discriminator(k: int) -> Mapping[str, float]:
            z, y = draw(run, "discriminator", k, pairs.size, view.classes)
            with torch.no_grad():
                fake = g(z, y)
            return {"discriminator": gan.descend(adam_d, discriminator_loss(d, *pairs.batch(k), fake, y))}

        def step(i: int) -> Mapping[str, float]:
            losses = {**improve_generator(i)}
            for k in range(self.critic_steps):
                losses.update(improve_discriminator(i * self.critic_steps + k))
            return losses

        parts: dict[str, gan.Part] = {"generator": g, "critic": d, "adam_g": adam_g, "adam_d": adam_d}
        curves = gan.train(run, "conditional_gan", self.steps, {**parts, "spent": Account(view)}, step)
        generator.eval().requires_grad_(False)
        return curves


class Account:
    """What was asked of the target, kept in the checkpoints with everything else that training changes.

    Args:
        view: Of the target.
    """

    def __init__(self, view: View) -> None:
        self._view = view

    def state_dict(self) -> dict[str, Any]:
        """Queries and gradients so far."""
        return asdict(self._view.spent)

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Counts at least so many."""
        self._view.resume(Spent(**state_dict))


@torch.no_grad()
def select(view: View, public: Images, top: int, run: Run) -> Tensor:
    """The public pictures that the target scores highest for each class.

    Args:
        view: The target, which is asked once about each picture.
        public: Public pictures.
        top: How many for each class.
        run: The device.

    Returns:
        Their indices ``(C, min(top, count))``, the best first, of equal ones the first first; on the CPU.
    """
    best = torch.empty(0, view.classes, device=run.device)
    which = torch.empty(0, view.classes, dtype=torch.int64, device=run.device)
    for index in torch.split(torch.arange(len(public)), CHUNK):
        p = view.scores(public.at(index).to(run.device, memory_format=torch.channels_last))
        best, which = torch.cat([best, p]), torch.cat([which, index[:, None].expand(p.shape).to(run.device)])
        first = best.argsort(dim=0, descending=True, stable=True)[:top]
        best, which = best.gather(0, first), which.gather(0, first)
    return which.T.cpu()


class Pairs(gan.PublicBatches):
    """Shuffled batches of selected pictures with their pseudo-labels.

    Args:
        public: Public pictures.
        selected: Which of them stand for each class ``(C, n)``; one may stand for several.
        batch: Pairs in a batch (all of them, if there are fewer).
        run: Source of the order.
    """

    def __init__(self, public: Images, selected: Tensor, batch: int, run: Run) -> None:
        super().__init__(public, batch, flip=False, run=run)
        self.selected, self.count = selected, selected.numel()
        self.size = min(batch, self.count)

    def batch(self, i: int) -> tuple[Tensor, Tensor]:
        """Batch i: pixels with uniform noise of one of 256 grey levels, and classes ``(N,)``, on the device."""
        index = self.indices("pairs", i)
        x, y = self.pixels(self.selected.flatten()[index]), index // self.selected.shape[1]
        noise = torch.rand(x.shape, generator=self._run.generator("dequantise", i)) / 256
        return x + noise.to(x.device), y.to(x.device)


def draw(run: Run, stream: str, i: int, count: int, classes: int) -> tuple[Tensor, Tensor]:
    """Normal latents ``(count, 128)`` and uniform classes ``(count,)`` of update ``i`` of a network."""
    z = draw_normal([run.generator("z", stream, i)], (count, LATENT))[0]
    y = torch.randint(classes, (count,), generator=run.generator("class", stream, i))
    return z.to(run.device), y.to(run.device)


def discriminator_loss(d: Judge, real: Tensor, y_real: Tensor, fake: Tensor, y_fake: Tensor) -> Tensor:
    """Hinge: ``mean relu(1 - D(x, y)) + mean relu(1 + D(G(z, y'), y'))``."""
    score = d(torch.cat([real, fake]), torch.cat([y_real, y_fake]))  # images are not coupled: one pass serves both
    return F.relu(1 - score[: len(real)]).mean() + F.relu(1 + score[len(real) :]).mean()


def generator_losses(d: Judge, view: View, fake: Tensor, seen: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """``-mean D(G(z, y), y)``, and the mean max-margin of the target on the augmented pictures that are seen."""
    return -d(fake, y).mean(), max_margin(view.logits(seen), y).mean()
