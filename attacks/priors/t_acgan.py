"""The prior of LOKT: a GAN that is told the class and learns from a target's labels which class that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.optim import Adam

from unveil.attacks.priors import gan
from unveil.attacks.priors.conditional_gan import Account, draw
from unveil.attacks.priors.conditional_networks import DPLG, GPLG, TaughtGPLG
from unveil.attacks.priors.networks import halvings
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Generator, Images, Run, View
from unveil.harness.words.errors import UnveilError


class TwoHeads(nn.Module):
    """PLG-MI's discriminator with two heads on what it sees: is a picture real, and whom does it show.

    Args:
        shape: Shape ``(C, H, W)`` of the pictures.
        classes: Number of classes.
        width: Channels of the first block; 64 as published.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int) -> None:
        super().__init__()
        self.blocks = DPLG(shape, classes, width).blocks  # spectrally normalised; the heads are not
        features = width << halvings(shape[-1])
        self.real, self.who = nn.Linear(features, 1), nn.Linear(features, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels ``(N, C, H, W)`` to logits of being real ``(N,)`` and of the classes ``(N, classes)``."""
        v = F.relu(self.blocks(x)).sum((2, 3))
        return self.real(v)[:, 0], self.who(v)


class LabelledGAN(TaughtGPLG[TwoHeads]):
    """A class-conditional generator and the discriminator with two heads that it was trained against."""

    def realism(self, x: Tensor) -> Tensor:
        """The logit of being real, ``(N,)``, whoever a picture shows."""
        out: Tensor = self.critic(x)[0]
        return out

    def class_logits(self, x: Tensor) -> Tensor:
        """Whom the discriminator takes pictures for, ``(N, classes)``: a surrogate of the target."""
        out: Tensor = self.critic(x)[1]
        return out


@dataclass(frozen=True)
class TACGAN:
    """Class-conditional GAN that asks the target for labels of what it draws: the prior of LOKT.

    Its discriminator learns real from generated pictures, and to label generated ones as the target does; its generator
    learns to be taken for real, and for its class. Trained anew for each defended target. Public pictures have no
    labels, and the target is never asked about them.

    All pixels, generated ones too, are in [0, 1]: the released code instead shows its target and its discriminator
    generated pictures in [-1, 1] beside real ones in [0, 1].

    ``(steps - unlabelled) * critic_steps * batch`` labels are asked for, and counted in every row that uses it.

    Attributes:
        width: Channels of the narrowest layer of both networks; 64 as published.
        steps: Updates of the generator, each before ``critic_steps`` of the discriminator; 20,000 as published for
            CelebA, of which 1,000 are unlabelled.
        unlabelled: How many of the steps come before classes count; no label is asked in them. 1,000 to 6,000 as
            published.
        batch: Pictures in a batch.
        lr: Learning rate of Adam with betas (0, .9), for both networks.
        critic_steps: Updates of the discriminator per update of the generator, each on pictures of its own.
        class_weight: Weight of the classes against real and generated.
    """

    width: Annotated[int, Field(ge=1)] = 64
    steps: Annotated[int, Field(ge=1)] = 20_000
    unlabelled: Annotated[int, Field(ge=0)] = 1_000
    batch: Annotated[int, Field(ge=2)] = 128
    lr: Annotated[float, Field(gt=0)] = 2e-4
    critic_steps: Annotated[int, Field(ge=1)] = 5
    class_weight: Annotated[float, Field(ge=0)] = 1.5

    paper: ClassVar[str] = "Nguyen et al., Label-Only Model Inversion Attacks via Knowledge Transfer, NeurIPS 2023"
    access: ClassVar[Access | None] = Access.LABELS

    def build(self, classes: int, shape: tuple[int, int, int]) -> LabelledGAN:
        """The untrained networks."""
        return self._drawn(classes, shape, Run("untrained"))

    def _drawn(self, classes: int, shape: tuple[int, int, int], run: Run) -> LabelledGAN:
        with seeded(run, "weights"):
            return LabelledGAN(GPLG(shape, classes, self.width), TwoHeads(shape, classes, self.width))

    def fit(self, generator: Generator, public: Images, view: View | None, run: Run) -> Mapping[str, Sequence[float]]:
        """Trains both networks; see `harness.types.Prior.fit`.

        Raises:
            UnveilError: If there is no target to ask.
        """
        assert isinstance(generator, LabelledGAN)
        if view is None:
            raise UnveilError("t_acgan was given no target", "the view of the target it is trained for")
        generator.load_state_dict(self._drawn(view.classes, public.shape, run).state_dict())
        generator.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        g, d = generator.network.train().requires_grad_(True), generator.critic.train().requires_grad_(True)
        adam_g, adam_d = (Adam(part.parameters(), lr=self.lr, betas=(0.0, 0.9)) for part in (g, d))
        batches = gan.PublicBatches(public, self.batch, flip=False, run=run)

        def improve_generator(i: int, weight: float) -> Mapping[str, float]:
            z, y = draw(run, "generator", i, self.batch, view.classes)
            d.requires_grad_(False)
            real, who = d(g(z, y))
            loss = generator_loss(real, who, y, weight)
            d.requires_grad_(True)
            return {"generator": gan.descend(adam_g, loss)}

        def improve_discriminator(k: int, weight: float) -> Mapping[str, float]:
            z, y = draw(run, "discriminator", k, self.batch, view.classes)
            with torch.no_grad():
                fake = g(z, y)
            said = view.labels(fake) if weight else None
            x = batches.pixels(batches.indices("real", k))
            return {"discriminator": gan.descend(adam_d, discriminator_loss(d, x, fake, said, weight))}

        def step(i: int) -> Mapping[str, float]:
            weight = self.class_weight if i >= self.unlabelled else 0.0
            losses = {**improve_generator(i, weight)}
            for k in range(self.critic_steps):
                losses.update(improve_discriminator(i * self.critic_steps + k, weight))
            return losses

        parts: dict[str, gan.Part] = {"generator": g, "critic": d, "adam_g": adam_g, "adam_d": adam_d}
        curves = gan.train(run, "t_acgan", self.steps, {**parts, "spent": Account(view)}, step)
        generator.eval().requires_grad_(False)
        return curves


def generator_loss(real: Tensor, who: Tensor, y: Tensor, weight: float) -> Tensor:
    """``BCE(D(G(z, y)), 1) + a CE(C(G(z, y)), y)``.

    Args:
        real: Logits of being real ``(N,)``.
        who: Logits of the classes ``(N, C)``.
        y: What the pictures were meant to show ``(N,)``.
        weight: a.
    """
    return bce(real, torch.ones_like(real)) + weight * F.cross_entropy(who, y)


def discriminator_loss(d: nn.Module, x: Tensor, fake: Tensor, said: Tensor | None, weight: float) -> Tensor:
    """``BCE(D(x), 1) + BCE(D(G(z, y)), 0) + a CE(C(G(z, y)), argmax T(G(z, y)))``.

    Args:
        d: Pixels to logits of being real and of the classes.
        x: Public pictures.
        fake: Generated ones.
        said: What the target labels these; None where classes do not count.
        weight: a.
    """
    (real, _), (made, who) = d(x), d(fake)
    loss = bce(real, torch.ones_like(real)) + bce(made, torch.zeros_like(made))
    return loss if said is None else loss + weight * F.cross_entropy(who, said)
