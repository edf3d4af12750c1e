"""The prior of GMI: a Wasserstein GAN with gradient penalty, trained on public pictures only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks.priors import gan, made_from, released
from unveil.attacks.priors.networks import DWGAN
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Generator, Given, Images, LocalSpec, Need, Origin, Run, View
from unveil.harness.words.prior import Renamed


class CriticGAN(gan.GAN):
    """A generator whose realism is its critic's score."""

    def realism(self, x: Tensor) -> Tensor:
        """``D(x)``, ``(N,)``."""
        out: Tensor = self.critic(x)
        return out


@dataclass(frozen=True)
class WGANGP:
    """Wasserstein GAN with gradient penalty on public pictures: the prior of GMI.

    The published schedule is 120 to 300 epochs of 30,000 pictures: 56,000 to 140,000 steps of 64. A step updates
    the critic, and every ``critic_steps``-th one the generator.

    Attributes:
        start: ``"z100"``: the paper's generator, from scratch. ``"digiface"``: a generator pretrained on synthetic
            faces, for 64x64 colour. Or another prior, such as ``"mobile_style"``, whose generator it starts from.
        width: Channels of the narrowest layer of the critic, and of a z100 generator; 64 as published.
        steps: Training steps.
        batch: Pictures in a batch.
        lr: Learning rate of Adam with betas (.5, .999), for both networks.
        penalty: Weight of the gradient penalty.
        critic_steps: Critic updates per generator update.
        train_generator: Whether the generator trains too. Without, a pretrained one is kept as it is and only a
            critic is fitted to it.
        flip: Whether mirror images count as public pictures, too.
        learn_from: Another prior, whose pictures are learnt from in place of the public ones; none learns from these.
        samples: How many pictures that prior draws, or the one that it starts from if that one's generator is kept as
            it is: then they are drawn once, instead of fresh ones in each step.
    """

    start: made_from.Start = "z100"
    width: Annotated[int, Field(ge=1)] = 64
    steps: Annotated[int, Field(ge=1)] = 56_000
    batch: Annotated[int, Field(ge=2)] = 64
    lr: Annotated[float, Field(gt=0)] = 2e-4
    penalty: Annotated[float, Field(ge=0)] = 10.0
    critic_steps: Annotated[int, Field(ge=1)] = 5
    train_generator: bool = True
    flip: bool = False
    learn_from: LocalSpec | None = None
    samples: Annotated[int, Field(ge=1)] = 4000

    paper: ClassVar[str] = "Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017"
    access: ClassVar[Access | None] = None

    def needs(self) -> Mapping[str, Need]:
        """Other priors, where it starts or learns from such."""
        return made_from.needs(self.start, self.learn_from)

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that change nothing beside the others."""
        return made_from.idle(self.learn_from, self.start, trains=self.train_generator)

    def canonical(self) -> Mapping[str, Any]:
        """Settings as identities say them."""
        return made_from.canonical(self)

    def content(self) -> Mapping[str, str]:
        """Checksum of the pretrained generator, where one is used; other priors are needs."""
        return made_from.content(self.start, self.learn_from)

    def origin(self) -> Origin | None:
        """Where the pretrained generator comes from, where one is used."""
        return made_from.origin(self.start)

    def build(self, classes: int, shape: tuple[int, int, int]) -> Generator:
        """The untrained networks; a target's classes play no part but in a prior that it starts from."""
        with seeded(Run("untrained")):
            return CriticGAN(gan.network(self.start, classes, shape, self.width), DWGAN(shape, self.width))

    def released(self, generator: Generator) -> Renamed:
        """Its networks by the released names; see `harness.words.prior.Renaming`."""
        assert isinstance(generator, gan.GAN)
        assert isinstance(generator.critic, DWGAN)
        return released.of_pair(generator.network, released.of_dwgan(generator.critic))

    def fit(
        self,
        generator: Generator,
        public: Images,
        view: View | None,  # noqa: ARG002
        run: Run,
        given: Given | None = None,
    ) -> Mapping[str, Sequence[float]]:
        """Trains the critic, and the generator unless it is kept; see `harness.types.Prior.fit`."""
        assert isinstance(generator, CriticGAN)
        g, d = generator.network, generator.critic
        gan.begin(generator, self.start, run, given)
        g.train(self.train_generator).requires_grad_(self.train_generator)
        d.train().requires_grad_(True)
        shown = made_from.lessons(public, self.learn_from, self.samples, given, run)
        batches = gan.PublicBatches(shown, self.batch, flip=self.flip, run=run)
        fakes = gan.fakes(generator, self.samples, run, trains=self.train_generator)
        adam_g, adam_d = gan.adam(g, self.lr) if self.train_generator else None, gan.adam(d, self.lr)

        def step(i: int) -> Mapping[str, float]:
            real = batches.pixels(batches.indices("real", i))
            fake = fakes(i, batches.size)
            losses = {"critic": gan.descend(adam_d, self._critic_loss(d, real, fake, run.generator("mix", i)))}
            if adam_g is not None and i % self.critic_steps == self.critic_steps - 1:
                fresh = generator.latents(run, "z of the generator", i, batches.size)
                d.requires_grad_(False)
                losses["generator"] = gan.descend(adam_g, -d(g(fresh)).mean())
                d.requires_grad_(True)
            return losses

        parts: dict[str, gan.Part] = {"generator": g, "critic": d, "adam_d": adam_d}
        parts |= {} if adam_g is None else {"adam_g": adam_g}
        curves = gan.train(run, "wgan_gp", self.steps, parts, step)
        generator.eval().requires_grad_(False)
        return curves

    def _critic_loss(
        self, d: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator
    ) -> Tensor:
        t = torch.rand(len(real), 1, 1, 1, generator=generator).to(real.device)
        score = d(torch.cat([real, fake]))  # images are not coupled, so one pass serves both
        wasserstein = score[: len(real)].mean() - score[len(real) :].mean()
        return -wasserstein + self.penalty * gradient_penalty(d, t * real + (1 - t) * fake)


def gradient_penalty(d: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``E (|∇D(x)|_2 - 1)²`` at images x ``(N, C, H, W)`` between real and generated ones (Gulrajani et al., Eq. 3)."""
    x = x.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty
