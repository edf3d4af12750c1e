"""Trains a private copy of a prior on, with one person's reconstructions among the public pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from unveil.attacks import augment
from unveil.attacks.priors import conditional_gan as plg
from unveil.attacks.priors import gan, inversion_gan
from unveil.attacks.priors.conditional_gan import ConditionalGAN, ProjectionGAN
from unveil.attacks.priors.inversion_gan import InversionGAN, KPlusOneGAN
from unveil.attacks.priors.mixture import Mixture
from unveil.attacks.priors.wgan_gp import WGANGP, CriticGAN, gradient_penalty
from unveil.harness.types import Generator, Images, Run, View


@dataclass(frozen=True)
class Asked:
    """What tuning asks of the target, in pictures.

    Attributes:
        once: Queries for all people together.
        person: Queries for each person.
        step: Queries in each step, and as many gradients.
    """

    once: int = 0
    person: int = 0
    step: int = 0


class Lessons(ABC):
    """How a copy of a prior is tuned to the pictures of one person."""

    @abstractmethod
    def asks(self, pictures: int) -> Asked:
        """What so many pictures of a person lead to."""

    def begin(self, view: View, run: Run) -> None:  # noqa: B027 (most have nothing to ask)
        """Asks the target what all people need."""

    @abstractmethod
    def tune(self, prior: Generator, x: Tensor, y: int, view: View, run: Run, steps: int) -> None:
        """Tunes a copy in place.

        Args:
            prior: The copy.
            x: Pictures that are taken to show the person ``(k, C, H, W)``, on the run's device.
            y: The person.
            view: The target.
            run: Randomness, progress, checkpoints: of this person alone.
            steps: Of training.
        """


@dataclass(frozen=True)
class Retraining:
    """How a GAN is trained on.

    Attributes:
        lr: Learning rate of both networks.
        share: Share of the real pictures in a batch that are the person's; 0: as many as there are among all.
    """

    lr: float
    share: float


class WGANLessons(Lessons):
    """GMI's: the Wasserstein critic with its penalty, and now and then the generator.

    Args:
        prior: Whose settings hold but for the learning rate.
        public: Public pictures.
        how: How it is trained on.
    """

    def __init__(self, prior: WGANGP, public: Images, how: Retraining) -> None:
        self._prior, self._public, self._how = prior, public, how

    def asks(self, pictures: int) -> Asked:  # noqa: ARG002 (as all lessons)
        """Nothing."""
        return Asked()

    def tune(self, prior: Generator, x: Tensor, y: int, view: View, run: Run, steps: int) -> None:  # noqa: ARG002
        """Trains both networks on."""
        assert isinstance(prior, CriticGAN)
        g, d, adam_g, adam_d = _begun(prior, lambda part: gan.adam(part, self._how.lr))
        batches = Mixture(self._public, x, self._prior.batch, self._how.share, flip=self._prior.flip, run=run)
        every = self._prior.critic_steps

        def step(i: int) -> Mapping[str, float]:
            real = batches.pixels(batches.indices("real", i))
            with torch.no_grad():
                fake = prior.synthesize(prior.latents(run, "z", i, len(real)))
            losses = {"critic": gan.descend(adam_d, self._critic_loss(d, real, fake, run.generator("mix", i)))}
            if i % every == every - 1:
                fresh = prior.latents(run, "z of the generator", i, len(real))
                d.requires_grad_(False)
                losses["generator"] = gan.descend(adam_g, -d(g(fresh)).mean())
                d.requires_grad_(True)
            return losses

        _train(prior, run, steps, {"generator": g, "critic": d, "adam_g": adam_g, "adam_d": adam_d}, step)

    def _critic_loss(
        self, d: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator
    ) -> Tensor:
        t = torch.rand(len(real), 1, 1, 1, generator=generator).to(real.device)
        wasserstein = d(real).mean() - d(fake).mean()
        return -wasserstein + self._prior.penalty * gradient_penalty(d, t * real + (1 - t) * fake)


class InversionLessons(Lessons):
    """KEDMI's: the discriminator learns the target's opinion of all pictures, the person's among them.

    Args:
        prior: Whose settings hold but for the learning rate.
        public: Public pictures.
        how: How it is trained on.
    """

    def __init__(self, prior: InversionGAN, public: Images, how: Retraining) -> None:
        self._prior, self._public, self._how = prior, public, how
        self._flips = 2 if prior.flip else 1
        self._labels = torch.empty(0)

    def asks(self, pictures: int) -> Asked:
        """The scores of each public picture once, and of each of a person's."""
        return Asked(once=len(self._public) * self._flips, person=pictures * self._flips)

    def begin(self, view: View, run: Run) -> None:
        """Asks for the scores of the public pictures."""
        batches = gan.PublicBatches(self._public, self._prior.batch, flip=self._prior.flip, run=run)
        self._labels = inversion_gan.soft_labels(view, batches)

    def tune(self, prior: Generator, x: Tensor, y: int, view: View, run: Run, steps: int) -> None:  # noqa: ARG002
        """Trains both networks on."""
        assert isinstance(prior, KPlusOneGAN)
        g, d, adam_g, adam_d = _begun(prior, lambda part: gan.adam(part, self._how.lr))
        batches = Mixture(self._public, x, self._prior.batch, self._how.share, flip=self._prior.flip, run=run)
        labels, every = self._labels_with(x, view), self._prior.generator_every

        def step(i: int) -> Mapping[str, float]:
            index = batches.indices("labelled", i)
            labelled, unlabelled = batches.pixels(index), batches.pixels(batches.indices("unlabelled", i))
            with torch.no_grad():
                fake = prior.synthesize(prior.latents(run, "z", i, len(index)))
            p = labels[index.to(labels.device)]
            loss = inversion_gan.discriminator_loss(d, labelled, p, unlabelled, fake)
            losses = {"discriminator": gan.descend(adam_d, loss)}
            if i % every == every - 1:
                real = batches.pixels(batches.indices("matched", i))
                fresh = prior.latents(run, "z of the generator", i, len(real))
                d.requires_grad_(False)
                loss = inversion_gan.generator_loss(d, real, g(fresh), self._prior.entropy)
                losses["generator"] = gan.descend(adam_g, loss)
                d.requires_grad_(True)
            return losses

        parts: dict[str, gan.Part] = {"generator": g, "critic": d, "adam_g": adam_g, "adam_d": adam_d}
        _train(prior, run, steps, {**parts, "spent": plg.Account(view)}, step)

    def _labels_with(self, x: Tensor, view: View) -> Tensor:
        """In the order of a `Mixture`: the public pictures' and the person's, then the same of mirror images."""
        found = []
        for side, public in enumerate(self._labels.chunk(self._flips)):
            found += [public, *(view.scores(part.flip(-1) if side else part) for part in x.split(plg.CHUNK))]
        return torch.cat(found)


class ConditionalLessons(Lessons):
    """PLG-MI's: the person's pictures join those that stand for the person's class.

    Args:
        prior: Whose settings hold but for the learning rate.
        public: Public pictures.
        how: How it is trained on.
    """

    def __init__(self, prior: ConditionalGAN, public: Images, how: Retraining) -> None:
        self._prior, self._public, self._how = prior, public, how
        self._shown, self._classes = public, torch.empty(0, dtype=torch.int64)

    def asks(self, pictures: int) -> Asked:  # noqa: ARG002 (as all lessons)
        """The scores of each public picture once, and gradients of each step of the generator."""
        return Asked(once=len(self._public), step=self._prior.batch)

    def begin(self, view: View, run: Run) -> None:
        """Selects the public pictures of each class."""
        which = plg.select(view, self._public, self._prior.top, run)
        self._shown = self._public[which.flatten()]
        self._classes = torch.arange(len(which)).repeat_interleave(which.shape[1])

    def tune(self, prior: Generator, x: Tensor, y: int, view: View, run: Run, steps: int) -> None:
        """Trains both networks on."""
        assert isinstance(prior, ProjectionGAN)
        g, d, adam_g, adam_d = _begun(prior, lambda part: Adam(part.parameters(), lr=self._how.lr, betas=(0.0, 0.9)))
        batches = Mixture(self._shown, x, self._prior.batch, self._how.share, flip=False, run=run)
        classes = torch.cat([self._classes, torch.full((len(x),), y)]).to(run.device)
        look = augment.published(0.5, self._prior.turned, signed=self._prior.signed)

        def improve_generator(i: int) -> Mapping[str, float]:
            u = torch.rand(self._prior.batch, augment.NUMBERS, generator=run.generator("augment", i)).to(run.device)
            z, of = plg.draw(run, "generator", i, self._prior.batch, view.classes)
            d.requires_grad_(False)
            fake = g(z, of)
            hinge, margin = plg.generator_losses(d, view, fake, look(fake, u), of)
            gan.descend(adam_g, hinge + self._prior.margin * margin)
            d.requires_grad_(True)
            return {"generator": hinge.item(), "margin": margin.item()}

        def improve_discriminator(k: int) -> Mapping[str, float]:
            index = batches.indices("pairs", k)
            z, of = plg.draw(run, "discriminator", k, len(index), view.classes)
            with torch.no_grad():
                fake = g(z, of)
            real = batches.pixels(index)
            noise = torch.rand(real.shape, generator=run.generator("dequantise", k)).to(real.device) / 256
            loss = plg.discriminator_loss(d, real + noise, classes[index.to(classes.device)], fake, of)
            return {"discriminator": gan.descend(adam_d, loss)}

        def step(i: int) -> Mapping[str, float]:
            losses = {**improve_generator(i)}
            for k in range(self._prior.critic_steps):
                losses.update(improve_discriminator(i * self._prior.critic_steps + k))
            return losses

        parts: dict[str, gan.Part] = {"generator": g, "critic": d, "adam_g": adam_g, "adam_d": adam_d}
        _train(prior, run, steps, {**parts, "spent": plg.Account(view)}, step)


def _begun(prior: Any, optimiser: Callable[[Any], Adam]) -> tuple[Any, Any, Adam, Adam]:
    """Generator and critic ready to train, each with its optimiser."""
    g, d = prior.network.train().requires_grad_(True), prior.critic.train().requires_grad_(True)
    return g, d, optimiser(g), optimiser(d)


def _train(
    prior: Generator,
    run: Run,
    steps: int,
    parts: Mapping[str, gan.Part],
    step: Callable[[int], Mapping[str, float]],
) -> None:
    """Trains, and leaves the prior as an attack searches it."""
    gan.train(run, "tuning", steps, parts, step)
    prior.eval().requires_grad_(False)


TAUGHT: Mapping[type, Callable[[Any, Images, Retraining], Lessons]] = {
    WGANGP: WGANLessons,
    InversionGAN: InversionLessons,
    ConditionalGAN: ConditionalLessons,
}
"""The priors that can be trained on by their own rule."""
