"""Whether bfloat16 makes a network faster on this processor: timed, and then kept for as long as its step goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.harness.words.attack import Attack
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.folding import Frozen
from unveil.harness.words.generator import Generator
from unveil.harness.words.images import Images
from unveil.harness.words.run import Run

CHOICE = "arithmetic"  # beside the checkpoints; before them in the alphabet, by which they are sent to a bucket
ENOUGH = 1.15  # times as fast; less is within what a clock says by chance
SECONDS = 1.0  # of timing
FEWEST, MOST = 3, 12  # rounds of it
PICTURES = 32  # at once, at most; larger batches gain as much and take longer

Trial: TypeAlias = Callable[[], tuple[Tensor, Sequence[Tensor]]]
"""A pass forward: what it comes to, and what is then differentiated by."""


def settle(run: Run, measure: Callable[[], float]) -> None:
    """Chooses ``run.mixed_precision`` if the run asks for that; once for a step, however often it is interrupted.

    Args:
        run: Of the step, before it loads a checkpoint.
        measure: How many times as fast the step is in bfloat16. It must leave nothing behind.
    """
    if (kept := run.load(CHOICE)) is not None:
        run.mixed_precision = bool(kept["mixed"])
    elif run.probing and not _begun(run):
        run.mixed_precision = units() and measure() >= ENOUGH
        run.save(CHOICE, {"mixed": run.mixed_precision})


def _begun(run: Run) -> bool:
    """Whether there are checkpoints already: of a run that chose nothing, so it goes on as it was."""
    return run.scratch is not None and any(run.scratch.glob("*.pt"))


def units() -> bool:
    """Whether the processor computes with bfloat16 itself; where torch does not say, the clock will."""
    told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # which older ones do not have
    found = [bool(there) for name, there in told.items() if "bf16" in name]
    return any(found) or not found


def gain(trial: Trial) -> float:
    """How many times as fast a pass forward and back is in bfloat16; 0 if it cannot be made in bfloat16.

    In processor time and in turns, so that what others do on the machine falls on both alike.
    """
    try:
        _seconds(trial, mixed=False)  # the first time is slower
        _seconds(trial, mixed=True)
    except (RuntimeError, NotImplementedError):  # an operation that knows no bfloat16, or no gradient
        return 0.0
    ratios: list[float] = []
    begun = time.monotonic()
    while len(ratios) < FEWEST or (len(ratios) < MOST and time.monotonic() - begun < SECONDS):
        full = _seconds(trial, mixed=False)
        ratios.append(full / _seconds(trial, mixed=True))
    return median(ratios)


def _seconds(trial: Trial, *, mixed: bool) -> float:
    begun = time.process_time()
    with torch.random.fork_rng([]):
        with Run("probe", mixed_precision=mixed).autocast():
            value, inputs = trial()
        torch.autograd.grad(value, inputs, allow_unused=True)
    return max(time.process_time() - begun, 1e-9)


def choose_for_training(run: Run, classifier: Classifier, images: Images, batch: int) -> None:
    """Settles how a classifier is trained; it is left as it was.

    Args:
        run: Of the training.
        classifier: On the run's device. Only the part is tried that trains.
        images: Some of what it learns from.
        batch: Pictures at once.
    """
    settle(run, lambda: gain_in_training(run, classifier, images, min(batch, PICTURES, len(images))))


def gain_in_training(run: Run, classifier: Classifier, images: Images, count: int) -> float:
    """As `gain`, of training on so many pictures at once."""
    x = images.at(torch.arange(count)).to(run.device, memory_format=torch.channels_last)
    depth, inputs = classifier.frozen_depth, list(classifier.trainable())

    def trial() -> tuple[Tensor, Sequence[Tensor]]:
        logits = classifier.run_from(before, depth).logits.float()
        return F.cross_entropy(logits, logits.detach().argmax(1)), inputs

    with _untouched(classifier), torch.random.fork_rng([]):
        with torch.no_grad():
            before = classifier.prefix(x, depth)
        return gain(trial)


@contextmanager
def _untouched(classifier: Classifier) -> Iterator[None]:
    """In training mode inside the block; afterwards in the mode and with the statistics from before."""
    mode, before = classifier.training, [(buffer, buffer.clone()) for buffer in classifier.buffers()]
    classifier.train()
    try:
        yield
    finally:
        classifier.train(mode)
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@dataclass(frozen=True)
class Descended:
    """What an attack descends.

    Attributes:
        networks: The target, and surrogates; frozen and in evaluation mode.
        prior: What it searches; None for an attack that searches pixels.
        shape: Of a picture.
        draws_in_full: Whether the prior draws in float32 whatever the run's precision, as for styles.
        shown_each: How many pictures the networks are shown of each that the prior draws.
    """

    networks: Sequence[Classifier]
    prior: Generator | None
    shape: tuple[int, int, int]
    draws_in_full: bool = False
    shown_each: int = 1

    @classmethod
    def by(
        cls, attack: Attack, networks: Sequence[Classifier], prior: Generator | None, shape: tuple[int, int, int]
    ) -> Descended:
        """As an attack says; one that says nothing computes all in the run's precision, and shows each picture once."""
        in_full = bool(getattr(attack, "draws_in_full", False))
        return cls(networks, prior, shape, in_full, int(getattr(attack, "shown_each", 1)))


def choose_for_attack(run: Run, descended: Descended, batch: int) -> None:
    """Settles how an attack descends: through its prior, if it has one, and the networks that it asks.

    Args:
        run: Of the attack.
        descended: All that its gradient goes through.
        batch: Pictures at once.
    """
    settle(run, lambda: gain_in_attack(run, descended, min(batch, PICTURES)))


def gain_in_attack(run: Run, descended: Descended, count: int) -> float:
    """As `gain`, of descending with so many pictures at once before the networks."""
    prior, shape, each = descended.prior, descended.shape, descended.shown_each
    drawn = [run.generator("probe", i) for i in range(max(1, count // each))]
    if prior is not None:
        prior.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    draw = None if prior is None else Frozen(prior).passing("synthesize")
    seen_by = [Frozen(one).passing("logits") for one in descended.networks]
    start = torch.stack([torch.rand(shape, generator=one) for one in drawn]) if prior is None else prior.sample(drawn)
    start = start.to(run.device).requires_grad_()

    def trial() -> tuple[Tensor, Sequence[Tensor]]:
        with torch.autocast(start.device.type, enabled=False) if descended.draws_in_full else nullcontext():
            x = start if draw is None else draw(start)
        x = x if each == 1 else x.repeat_interleave(each, 0)
        return torch.stack([logits(x).float().square().mean() for logits in seen_by]).sum(), [start]

    return gain(trial)
