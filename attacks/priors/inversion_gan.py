"""The prior of KEDMI: a GAN whose discriminator learns the target's opinion of public pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unveil.attacks.losses import k_plus_one
from unveil.attacks.priors import gan, made_from, released
from unveil.attacks.priors.networks import DMB
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Generator, Given, Images, LocalSpec, Need, Origin, Run, View
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.prior import Renamed


class KPlusOneGAN(gan.GAN):
    """A generator whose realism is its discriminator's log-probability of "real"."""

    def __init__(self, network: torch.nn.Module, critic: DMB, *, coupled: bool) -> None:
        super().__init__(network, critic)
        self.coupled = coupled

    def realism(self, x: Tensor) -> Tensor:
        """``-softplus(-lse D(x))``, ``(N,)``; its negative mean is KEDMI's prior loss."""
        _, o = self.critic(x, coupled=self.coupled)
        return -k_plus_one(o)


@dataclass(frozen=True)
class InversionGAN:
    """Inversion-specific GAN, whose discriminator has learnt the target's soft labels: the prior of KEDMI.

    Trained anew for each defended target. Soft labels come from the target in evaluation mode, which departs from
    the released scripts: they leave it in training mode, where its answers depend on the batch and its statistics move.

    Attributes:
        start: ``"z100"``: the paper's generator, from scratch. ``"digiface"``: a generator pretrained on synthetic
            faces, for 64x64 colour. Or another prior, such as ``"mobile_style"``, whose generator it starts from.
        width: Channels of the narrowest layer of the discriminator, and of a z100 generator; 64 as published.
        steps: Training steps, each one update of the discriminator; as published, 120 epochs of 30,000 pictures.
        batch: Pictures in a batch.
        lr: Learning rate of Adam with betas (.5, .999), for both networks.
        generator_every: Every so many steps the generator is updated, too.
        entropy: Weight of the entropy of the discriminator's opinion, summed over the batch.
        train_generator: Whether the generator trains too. Without, a pretrained one is kept as it is and only a
            discriminator is fitted to it.
        flip: Whether mirror images count as public pictures, too (the target is asked about both).
        coupled: Whether an attacked image's realism depends, through minibatch discrimination, on the other images of
            its batch, as in the released code. Without (the default), each is judged as a batch of one, so that
            results do not depend on what is attacked together. Training is coupled either way.
        learn_from: Another prior, whose pictures are learnt from in place of the public ones; none learns from these.
        samples: How many pictures that prior draws, or the one that it starts from if that one's generator is kept as
            it is: then they are drawn once, instead of fresh ones in each step.
    """

    start: made_from.Start = "z100"
    width: Annotated[int, Field(ge=1)] = 64
    steps: Annotated[int, Field(ge=1)] = 56_000
    batch: Annotated[int, Field(ge=2)] = 64
    lr: Annotated[float, Field(gt=0)] = 2e-4
    generator_every: Annotated[int, Field(ge=1)] = 5
    entropy: Annotated[float, Field(ge=0)] = 1e-4
    train_generator: bool = True
    flip: bool = False
    coupled: bool = False
    learn_from: LocalSpec | None = None
    samples: Annotated[int, Field(ge=1)] = 4000

    paper: ClassVar[str] = "Chen et al., Knowledge-Enriched Distributional Model Inversion Attacks, ICCV 2021"
    access: ClassVar[Access | None] = Access.SCORES

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
        """The untrained networks."""
        with seeded(Run("untrained")):
            network = gan.network(self.start, classes, shape, self.width)
            return KPlusOneGAN(network, DMB(shape, classes, self.width), coupled=self.coupled)

    def released(self, generator: Generator) -> Renamed:
        """Its networks by the released names; see `harness.words.prior.Renaming`."""
        assert isinstance(generator, gan.GAN)
        assert isinstance(generator.critic, DMB)
        return released.of_pair(generator.network, released.of_dmb(generator.critic))

    def fit(
        self, generator: Generator, public: Images, view: View | None, run: Run, given: Given | None = None
    ) -> Mapping[str, Sequence[float]]:
        """Trains discriminator and generator; see `harness.types.Prior.fit`.

        Raises:
            UnveilError: If there is no target to ask.
        """
        assert isinstance(generator, KPlusOneGAN)
        if view is None:
            raise UnveilError("inversion_gan was given no target", "the view of the target it is trained for")
        g, d = generator.network, generator.critic
        gan.begin(generator, self.start, run, given)
        g.train(self.train_generator).requires_grad_(self.train_generator)
        d.train().requires_grad_(True)
        shown = made_from.lessons(public, self.learn_from, self.samples, given, run)
        batches = gan.PublicBatches(shown, self.batch, flip=self.flip, run=run)
        fakes = gan.fakes(generator, self.samples, run, trains=self.train_generator)
        adam_g, adam_d = gan.adam(g, self.lr) if self.train_generator else None, gan.adam(d, self.lr)
        labels = soft_labels(view, batches)

        def step(i: int) -> Mapping[str, float]:
            index = batches.indices("labelled", i)
            labelled, unlabelled = batches.pixels(index), batches.pixels(batches.indices("unlabelled", i))
            fake = fakes(i, batches.size)
            losses = {
                "discriminator": gan.descend(adam_d, discriminator_loss(d, labelled, labels[index], unlabelled, fake))
            }
            if adam_g is not None and i % self.generator_every == self.generator_every - 1:
                real = batches.pixels(batches.indices("matched", i))
                fresh = generator.latents(run, "z of the generator", i, batches.size)
                d.requires_grad_(False)
                losses["generator"] = gan.descend(adam_g, generator_loss(d, real, g(fresh), self.entropy))
                d.requires_grad_(True)
            return losses

        parts: dict[str, gan.Part] = {"generator": g, "critic": d, "adam_d": adam_d}
        parts |= {} if adam_g is None else {"adam_g": adam_g}
        curves = gan.train(run, "inversion_gan", self.steps, parts, step)
        generator.eval().requires_grad_(False)
        return curves


@torch.no_grad()
def soft_labels(view: View, batches: gan.PublicBatches, chunk: int = 256) -> Tensor:
    """The target's scores ``softmax(T(x))`` for all public pictures, asked once: ``(count, C)``."""
    index = torch.arange(batches.count)
    return torch.cat([view.scores(batches.pixels(part)) for part in torch.split(index, chunk)])


def discriminator_loss(d: torch.nn.Module, x: Tensor, p: Tensor, unlabelled: Tensor, fake: Tensor) -> Tensor:
    """Soft cross-entropy on labelled pictures plus half the K + 1 loss on unlabelled and generated ones.

    Args:
        d: The discriminator; it couples the images of a batch, so each batch is a pass of its own.
        x: Public pictures.
        p: The target's scores for them ``(N, C)``.
        unlabelled: Other public pictures.
        fake: Generated pictures.
    """
    supervised = F.cross_entropy(d(x)[1], p)
    real, generated = d(unlabelled)[1], d(fake)[1]
    return supervised + 0.5 * (k_plus_one(real).mean() + F.softplus(generated.logsumexp(1)).mean())


def generator_loss(d: torch.nn.Module, real: Tensor, fake: Tensor, entropy: float) -> Tensor:
    """``mean_j |mean_B h_j(fake) - mean_B h_j(real)| + entropy · Σ_B H(softmax D(fake))``."""
    h, o = d(fake)
    with torch.no_grad():
        h_real = d(real)[0]
    matching = (h.mean(0) - h_real.mean(0)).abs().mean()
    log_p = o.log_softmax(1)
    loss: Tensor = matching - entropy * (log_p.exp() * log_p).sum()
    return loss
