"""The prior of PPA and MIRROR, made at home: a small StyleGAN2 trained on public pictures only."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam

from unveil.attacks.priors import gan
from unveil.attacks.priors.augment import augment
from unveil.attacks.priors.networks import square_side
from unveil.attacks.priors.style_critic import StyleCritic
from unveil.attacks.priors.style_layers import Layout
from unveil.attacks.priors.style_networks import StyleGAN2, StyleGenerator
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Generator, Images, Run, View
from unveil.harness.words.run import draw_normal


@dataclass(frozen=True)
class StyleGAN:
    """StyleGAN2 with its style space, trained on public pictures: the prior of PPA and MIRROR.

    Non-saturating logistic loss, R1 on real pictures every few steps, style mixing, and a running average of the
    generator, which is what attacks search. Published runs show 25 million pictures at 8 times the default width.
    Path-length regularisation is left out, as in the StyleGAN2-ADA settings for small pictures.

    Attributes:
        width: Channels at full resolution; half the resolution has twice as many.
        width_max: At most this many channels.
        latent: Length of z and of w.
        mapping_layers: Layers of the mapping network; 8 in the paper, 2 in StyleGAN2-ADA for small pictures.
        steps: Training steps, each one update of discriminator and generator.
        batch: Pictures in a batch.
        lr: Learning rate of Adam with betas (0, .99), for both networks.
        gamma: Weight of R1; by default .0002 · resolution² / batch, as StyleGAN2-ADA has it.
        r1_every: R1 is applied every so many steps, so many times as strongly.
        mixing: Probability that a generated training picture takes its finer styles from a second latent.
        noise: Whether the layers add noise of their own, for what styles need not say: hair, grain. In trainings of a
            few thousand steps it stays visible as grain, and pictures are better without.
        average: Pictures after which the averaged generator has forgotten half; early on, a twentieth of those seen.
        augment: Probability of each augmentation (mirroring, moving, colours) of all that the discriminator sees; up
            to .8 do not leak into generated pictures. Worth setting for fewer than ten thousand pictures.
        flip: Whether mirror images count as public pictures, too.
    """

    width: Annotated[int, Field(ge=1)] = 64
    width_max: Annotated[int, Field(ge=1)] = 512
    latent: Annotated[int, Field(ge=1)] = 512
    mapping_layers: Annotated[int, Field(ge=1)] = 8
    steps: Annotated[int, Field(ge=1)] = 100_000
    batch: Annotated[int, Field(ge=2)] = 32
    lr: Annotated[float, Field(gt=0)] = 2e-3
    gamma: Annotated[float, Field(ge=0)] | None = None
    r1_every: Annotated[int, Field(ge=1)] = 16
    mixing: Annotated[float, Field(ge=0, le=1)] = 0.9
    noise: bool = True
    average: Annotated[int, Field(ge=1)] = 10_000
    augment: Annotated[float, Field(ge=0, le=0.8)] = 0.0
    flip: bool = False

    paper: ClassVar[str] = "Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020"
    access: ClassVar[Access | None] = None

    def build(self, classes: int, shape: tuple[int, int, int]) -> Generator:  # noqa: ARG002
        """The untrained networks; a target's classes play no part."""
        layout = Layout(
            resolution=square_side(shape),
            channels=shape[0],
            z_dim=self.latent,
            w_dim=self.latent,
            mapping_layers=self.mapping_layers,
            channel_base=self.width * shape[-1],
            channel_max=self.width_max,
            noise=self.noise,
        )
        with seeded(Run("untrained")):
            return StyleGenerator(StyleGAN2(layout), StyleCritic(layout))

    def fit(self, generator: Generator, public: Images, view: View | None, run: Run) -> Mapping[str, Sequence[float]]:  # noqa: ARG002
        """Trains both networks; see `harness.types.Prior.fit`."""
        assert isinstance(generator, StyleGenerator)
        begin(generator, run)
        training = _Training(self, generator, public, run)
        curves = gan.train(run, "style_gan", self.steps, training.parts(), training.step)
        generator.eval().requires_grad_(False)
        return curves


def begin(generator: StyleGenerator, run: Run) -> None:
    """Draws the first weights from the run and moves all to the device."""
    generator.cpu()  # the numbers come from the CPU whatever the device
    with seeded(run, "weights"):
        for module in generator.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    generator.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _Training:
    """The generator that learns, its running average, the discriminator and their optimisers."""

    def __init__(self, settings: StyleGAN, generator: StyleGenerator, public: Images, run: Run) -> None:
        assert generator.critic is not None
        self.settings, self.run = settings, run
        self.average, self.d = generator.network.eval().requires_grad_(False), generator.critic.train()
        self.g = copy.deepcopy(self.average).train()
        self.batches = gan.PublicBatches(public, settings.batch, flip=settings.flip, run=run)
        lazy = settings.r1_every / (settings.r1_every + 1)  # R1 makes additional steps (CVPR 2020, Appendix B)
        self.adam_g = Adam(self.g.parameters(), lr=settings.lr, betas=(0.0, 0.99))
        self.adam_d = Adam(self.d.parameters(), lr=settings.lr * lazy, betas=(0.0, 0.99**lazy))
        auto = 2e-4 * self.g.layout.resolution**2 / self.batches.size
        self.gamma = auto if settings.gamma is None else settings.gamma

    def parts(self) -> dict[str, gan.Part]:
        """All the state there is."""
        return {"g": self.g, "average": self.average, "d": self.d, "adam_g": self.adam_g, "adam_d": self.adam_d}

    def step(self, i: int) -> Mapping[str, float]:
        """One update of the discriminator and one of the generator."""
        real = self.batches.pixels(self.batches.indices("real", i)) * 2 - 1
        losses = {"critic": self._learn_to_judge(real, i)}
        if self.gamma and i % self.settings.r1_every == 0:
            losses["r1"] = self._smoothen(real, i)
        losses["generator"] = self._learn_to_draw(i)
        beta = averaging(self.settings.average, (i + 1) * self.batches.size, self.batches.size)
        follow(self.average, self.g, beta)
        return losses

    def _learn_to_judge(self, real: Tensor, i: int) -> float:
        """``softplus(D(G(z))) + softplus(-D(x))``; the minibatch deviation never mixes real and generated pictures."""
        self.g.requires_grad_(False)
        self.d.requires_grad_(True)
        with torch.no_grad():
            fake = self._draw("critic", i)
        loss = F.softplus(self._judge(fake, "fake", i)).mean() + F.softplus(-self._judge(real, "real", i)).mean()
        return gan.descend(self.adam_d, loss)

    def _smoothen(self, real: Tensor, i: int) -> float:
        """``γ/2 E |∇D(x)|²`` at real pictures, as strong as if it had been there at every step."""
        real = real.detach().requires_grad_(True)
        penalty = r1(self._judge(real, "R1", i), real)
        gan.descend(self.adam_d, self.gamma / 2 * penalty * self.settings.r1_every)
        return penalty.item()

    def _learn_to_draw(self, i: int) -> float:
        """``softplus(-D(G(z)))``."""
        self.g.requires_grad_(True)
        self.d.requires_grad_(False)
        return gan.descend(self.adam_g, F.softplus(-self._judge(self._draw("generator", i), "drawn", i)).mean())

    def _judge(self, x: Tensor, stream: str, i: int) -> Tensor:
        out: Tensor = self.d(augment(x, self.settings.augment, self.run.generator("augment", stream, i)))
        return out

    def _draw(self, stream: str, i: int) -> Tensor:
        """Training pictures in about [-1, 1], with mixed styles and fresh noise."""
        draw = self.run.generator("latents", stream, i)
        n, rows = self.batches.size, self.g.layout.num_ws
        z = draw_normal([draw], (2 * n, self.g.layout.z_dim))[0].to(self.run.device)
        first, second = self.g.mapping(z).chunk(2)
        finer = mixed_rows(n, rows, self.settings.mixing, draw).to(self.run.device)
        ws = torch.where(finer[:, :, None], second[:, None], first[:, None])
        out: Tensor = self.g.synthesis(ws, self.run.generator("noise", stream, i))
        return out


def r1(logits: Tensor, real: Tensor) -> Tensor:
    """``E |∇D(x)|²`` (Mescheder et al., ICML 2018, Eq. 9), of logits ``(N,)`` with respect to real pictures."""
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def mixed_rows(count: int, rows: int, mixing: float, generator: torch.Generator) -> Tensor:
    """Which rows come from the second latent: for mixed samples, those from a uniform place on, ``(count, rows)``."""
    cut = torch.randint(1, rows, (count, 1), generator=generator)
    mixed = torch.rand(count, 1, generator=generator) < mixing
    return (torch.arange(rows) >= cut) & mixed


def averaging(half_life: int, seen: int, batch: int) -> float:
    """How much of the average stays in a step: half after ``half_life`` pictures, at most a twentieth of those seen."""
    return float(0.5 ** (batch / min(half_life, 0.05 * seen)))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, beta: float) -> None:
    """Moves the averaged weights on; buffers (constant noise, mean style) are the network's own."""
    for mean, now in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(now, 1 - beta)
    for old, new in zip(average.buffers(), network.buffers(), strict=True):
        old.copy_(new)
