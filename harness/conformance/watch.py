"""Lets a plugin act and watches what it does besides: global random numbers, its inputs, what it draws."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unveil.harness.conformance.report import BreachError, NotApplicableError
from unveil.harness.words.run import Run

Tensors = Mapping[str, Tensor]


@dataclass
class WatchedRun(Run):
    """A run that remembers whether anything was drawn from it.

    Attributes:
        asked: Names of the numbers that were asked for.
    """

    asked: list[str] = field(default_factory=list)

    def seed(self, *names: str | int) -> int:
        """As of any run."""
        self.asked.append(" ".join(map(str, names)))
        return super().seed(*names)


@dataclass(frozen=True)
class Seen:
    """An answer and what happened beside it.

    Attributes:
        answer: Everything that two answers are compared by.
        moved: Global random generators that were drawn from.
        changed: Inputs that are not what they were.
        drew: Whether numbers were drawn from the run.
    """

    answer: Tensors
    moved: tuple[str, ...]
    changed: tuple[str, ...]
    drew: bool


def _states() -> dict[str, Any]:
    return {
        "torch": torch.random.get_rng_state().numpy().tobytes(),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002 (the global generator is what is watched)
        "random": random.getstate(),
    }


@contextmanager
def scrambled(seed: int) -> Iterator[None]:
    """Other global random numbers than a moment ago; what was there comes back afterwards."""
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002 (see above)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(kept[0])  # noqa: NPY002
            random.setstate(kept[1])


def watch(act: Callable[[Run], Tensors], inputs: Tensors, identity: str, scramble: int) -> Seen:
    """Lets a plugin act.

    Args:
        act: Given a run, gives the answer.
        inputs: Tensors that must stay as they are.
        identity: Of the run: equal ones must give equal answers.
        scramble: What the global generators are seeded with: no answer may depend on it.
    """
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    run = WatchedRun(f"conformance {identity}")
    with scrambled(scramble):
        states = _states()
        answer = {name: tensor.detach().cpu().clone() for name, tensor in act(run).items()}
        moved = tuple(name for name, state in _states().items() if state != states[name])
    changed = tuple(name for name, tensor in inputs.items() if not same(tensor, before[name]))
    return Seen(answer, moved, changed, bool(run.asked))


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal bit for bit; NaN equals NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())  # noqa: PLR0124 (that is what a NaN is)


def differing(a: Tensors, b: Tensors) -> list[str]:
    """Names under which two answers differ."""
    return [name for name in {**a, **b} if name not in a or name not in b or not same(a[name], b[name])]


class Trial:
    """A plugin made to act, as often as the checks of its kind need it.

    Args:
        plugin: The plugin.
    """

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin

    def act(self, run: Run) -> Tensors:
        """Lets the plugin do what it is there for; gives everything by which two answers are compared."""
        raise NotImplementedError

    def inputs(self) -> Tensors:
        """Tensors that the plugin is given and must not change."""
        return {}

    @cached_property
    def first(self) -> Seen:
        """An answer."""
        return watch(self.act, self.inputs(), "one", 1)

    @cached_property
    def again(self) -> Seen:
        """The answer to the same question, with other global random numbers around."""
        return watch(self.act, self.inputs(), "one", 2)

    @cached_property
    def other(self) -> Seen:
        """The answer for another seed."""
        return watch(self.act, self.inputs(), "two", 1)


def same_seed_gives_the_same_answer(trial: Trial) -> None:
    """Twice the same run, bit for bit, whatever the global generators hold."""
    names = differing(trial.first.answer, trial.again.answer)
    if names:
        raise BreachError(
            f"two runs with the same seed differ in {_listed(names)}",
            "the same answer, bit for bit",
            "draw every random number from run.generator('what it is for'), and keep nothing between calls",
        )


def another_seed_gives_another_answer(trial: Trial) -> None:
    """A plugin that draws from its run must not come to the same whatever it drew."""
    if not trial.first.drew:
        raise NotApplicableError("it draws no random numbers")
    if not differing(trial.first.answer, trial.other.answer):
        raise BreachError(
            "it draws random numbers from the run, yet another seed gives the same answer",
            "numbers that differ between seeds",
            "seed nothing with a constant of your own; if the numbers are not used, do not draw them",
        )


def global_random_numbers_are_left_alone(trial: Trial) -> None:
    """The global generators of torch, numpy and random stay where they were."""
    moved = sorted({*trial.first.moved, *trial.again.moved})
    if moved:
        raise BreachError(
            f"it drew from the global random numbers of {', '.join(moved)}",
            "random numbers from the run alone: the global ones depend on what ran before",
            "pass generator=run.generator('what it is for'); in library code use training.global_rng.seeded",
        )


def inputs_are_left_alone(trial: Trial) -> None:
    """What a plugin is given is afterwards what it was before."""
    changed = sorted({*trial.first.changed, *trial.again.changed})
    if changed:
        raise BreachError(
            f"it changed its input: {_listed(changed)}",
            "inputs left as they are: others use them, too",
            "work on a copy, such as images.pixels.clone(), and avoid operations that end in an underscore",
        )


COMMON = (
    same_seed_gives_the_same_answer,
    another_seed_gives_another_answer,
    global_random_numbers_are_left_alone,
    inputs_are_left_alone,
)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def require_pixels(pixels: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Refuses pixels of another shape or type, out of [0, 1] or not finite.

    Raises:
        BreachError: If they are.
    """
    if pixels.shape != shape or pixels.dtype != torch.float32:
        found = f"{what} are {tuple(pixels.shape)}, {pixels.dtype}"
        raise BreachError(found, f"{tuple(shape)}, torch.float32", "keep the shape (N, C, H, W) and the type")
    if not torch.isfinite(pixels).all():
        raise BreachError(
            f"{what} are not finite", "numbers in [0, 1]", "look for a division by zero or a logarithm of it"
        )
    if pixels.min() < -1e-3 or pixels.max() > 1 + 1e-3:
        found = f"{what} range from {pixels.min():.3g} to {pixels.max():.3g}"
        raise BreachError(
            found, "pixels in [0, 1]", "end with .clamp(0, 1), or scale: no other range crosses a boundary"
        )


def require_finite(tensor: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Refuses numbers of another shape, or that are not finite.

    Raises:
        BreachError: If they are.
    """
    if tuple(tensor.shape) != tuple(shape):
        raise BreachError(f"{what} are of shape {tuple(tensor.shape)}", f"{tuple(shape)}", "correct the shape")
    if not torch.isfinite(tensor).all():
        raise BreachError(
            f"{what} are not finite", "finite numbers", "look for a division by zero or a logarithm of it"
        )
