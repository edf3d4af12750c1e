"""What the GAN priors share: the generator with its critic, and the training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from unveil.attacks.loop import resumable_steps
from unveil.attacks.priors.made_from import Start, Taken, drawn
from unveil.attacks.priors.networks import GZ100, LATENT
from unveil.harness.models.dcgan import DCGAN, load_digiface
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Generator, Given, Images, Spec
from unveil.harness.words.errors import TrainingError, UnveilError
from unveil.harness.words.finite import require_finite
from unveil.harness.words.run import Run, draw_normal
from unveil.harness.words.spec import untrained

CURVE_POINTS = 200
REMEDY = "lower the prior's lr, or raise its batch"


class Part(Protocol):
    """Something that training changes: a network, an optimiser, an account of queries."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that must survive a kill."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Puts it back."""


class GAN(Generator):
    """A generator network and the critic it was trained against.

    Args:
        network: Latents ``(N, 100)``, or those of the prior it is taken from, to pixels in [0, 1].
        critic: Judges pixels.
    """

    def __init__(self, network: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.network, self.critic = network, critic
        self.latent = network.generator.latent if isinstance(network, Taken) else LATENT

    def synthesize(self, z: Tensor) -> Tensor:
        """Latents ``(N, latent)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        out: Tensor = self.network(z)
        return out

    def sample(self, generators: Sequence[torch.Generator]) -> Tensor:
        """One latent per generator: standard normal, or as the prior says that the network is taken from."""
        if isinstance(self.network, Taken):
            return self.network.generator.sample(generators)
        return super().sample(generators)

    def latents(self, run: Run, stream: str, i: int, count: int) -> Tensor:
        """Latents ``(count, latent)`` of training step ``i``, on the device."""
        if isinstance(self.network, Taken):
            return self.sample(run.generators(stream, [(i, k) for k in range(count)])).to(run.device)
        return draw_normal([run.generator(stream, i)], (count, self.latent))[0].to(run.device)


def network(start: Start, classes: int, shape: tuple[int, int, int], width: int) -> nn.Module:
    """The generator network for images of that shape, its weights still to be drawn or loaded.

    Raises:
        UnveilError: If the pretrained generator does not make images of that shape.
    """
    if isinstance(start, Spec):
        return Taken(plugin_settings.make("priors", untrained(start), Path()).build(classes, shape))
    if start == "z100":
        return GZ100(shape, width)
    if shape != (3, 64, 64):
        raise UnveilError(
            f"the prior starts from the synthetic-face generator, but images are {shape}",
            "images (3, 64, 64)",
            'set the prior\'s start = "z100", or the data set to 64x64 colour',
        )
    return DCGAN()


def fakes(gan: GAN, samples: int, run: Run, *, trains: bool) -> Callable[[int, int], Tensor]:
    """Gives so many generated pictures for a step of the critic: fresh ones.

    Those of a generator that is taken from another prior and stays as it is are drawn once and used again and again:
    such a generator may be a hundred times as dear as the critic.
    """
    if trains or not isinstance(gan.network, Taken):

        def fresh(i: int, count: int) -> Tensor:
            with torch.no_grad():
                return gan.synthesize(gan.latents(run, "z", i, count))

        return fresh
    pool = drawn(gan, samples, "fake", run)

    def again(i: int, count: int) -> Tensor:
        which = torch.randint(samples, (count,), generator=run.generator("which fakes", i))
        return pool[which].to(run.device, memory_format=torch.channels_last)

    return again


def begin(gan: GAN, start: Start, run: Run, given: Given | None = None) -> None:
    """Draws the first weights from the run, or takes the pretrained or given generator's; moves all to the device."""
    fresh: list[nn.Module] = [gan.critic, *([gan.network] if start == "z100" else [])]
    gan.cpu()  # the numbers come from the CPU whatever the device
    with seeded(run, "weights"):
        for part in fresh:
            part.apply(_reset)
        if start == "digiface":
            gan.network.load_state_dict(load_digiface().state_dict())
    if isinstance(gan.network, Taken):
        assert given is not None
        gan.network.generator.load_state_dict(given.priors["start"].state_dict())
    gan.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


class PublicBatches:
    """Shuffled batches of public pictures; any batch can be had by its number, so nothing need be saved.

    Args:
        public: Public pictures.
        batch: Pictures in a batch (all of them, if there are fewer).
        flip: Whether each picture's mirror image belongs to the set.
        run: Source of the order.

    Attributes:
        size: Pictures in each batch.
    """

    def __init__(self, public: Images, batch: int, *, flip: bool, run: Run) -> None:
        self._public, self._run = public, run
        self.count = len(public) * (2 if flip else 1)
        self.size = min(batch, self.count)

    def indices(self, stream: str, i: int) -> Tensor:
        """Which pictures are in batch ``i`` of a stream: every picture once an epoch, the incomplete rest dropped."""
        epoch, k = divmod(i, self.count // self.size)
        order = torch.randperm(self.count, generator=self._run.generator("order", stream, epoch))
        return order[k * self.size : (k + 1) * self.size]

    def pixels(self, index: Tensor) -> Tensor:
        """Those pictures, on the device; from half of the count on they are mirror images."""
        x = self._public.at(index % len(self._public))
        mirrored = (index >= len(self._public))[:, None, None, None]
        x = torch.where(mirrored, x.flip(-1), x)
        return x.to(self._run.device, memory_format=torch.channels_last)


def adam(part: nn.Module, lr: float) -> Adam:
    """The optimiser of both networks in both papers.

    Raises:
        UnveilError: If there is nothing to train.
    """
    if not any(True for _ in part.parameters()):
        raise UnveilError(
            "the generator that the prior starts from has no parameters", "some to train", "set train_generator = false"
        )
    return Adam(part.parameters(), lr=lr, betas=(0.5, 0.999))


def descend(optimiser: Adam, loss: Tensor) -> float:
    """One step down the loss; gives its value."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item()


def train(
    run: Run,
    name: str,
    steps: int,
    parts: Mapping[str, Part],
    step: Callable[[int], Mapping[str, float]],
) -> Mapping[str, Sequence[float]]:
    """Trains with a progress bar and checkpoints.

    Args:
        run: Progress and checkpoints.
        name: Beside the bar.
        steps: How many.
        parts: Networks and optimisers, which together are all the state there is.
        step: Does step i and gives its losses.

    Returns:
        Losses by name, at about 200 evenly spaced steps.

    Raises:
        TrainingError: If a loss is no longer finite, or in the end a weight.
    """
    curves: dict[str, list[float]] = {}

    def state() -> dict[str, Any]:
        return {"curves": curves, **{key: part.state_dict() for key, part in parts.items()}}

    def restore(saved: Mapping[str, Any]) -> None:
        curves.update(saved["curves"])
        for key, part in parts.items():
            part.load_state_dict(saved[key])

    every = max(1, steps // CURVE_POINTS)
    for i, bar in resumable_steps(run, name, steps, state, restore):
        losses = step(i)
        _check(losses, name, i)
        bar.advance(1, **losses)
        if i % every == every - 1:
            for key in losses:
                curves.setdefault(key, []).append(losses[key])
    for part in parts.values():
        if isinstance(part, nn.Module):  # the last step has no loss after it that would tell
            require_finite(part, name, f"by step {steps}", REMEDY)
    return curves


def _check(losses: Mapping[str, float], name: str, i: int) -> None:
    for key, value in losses.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"{name} diverged at step {i}: {key} is {value}",
                "a finite loss",
                REMEDY,
            )
