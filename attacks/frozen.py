"""Networks that an attack is given, as it passes pictures through them: frozen, and as fast as the run lets them be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from unveil.harness.types import Generator, Ingredients, Run
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.folding import Frozen

PASSES = ("synthesize", "synthesize_as", "synthesize_w", "drawn", "realism")  # of priors, as far as they have them
Net = TypeVar("Net", bound=nn.Module)
Judge: TypeAlias = Callable[[Tensor], Tensor]
"""Pixels ``(N, C, H, W)`` to logits ``(N, classes)``."""


def prior_of(ingredients: Ingredients, run: Run) -> Generator:
    """The prior, frozen, in evaluation mode, on the device, with passes as fast as the run lets them be.

    What was given, which others may share, copy or train, stays as it is but for that.

    Raises:
        UnveilError: If there is none.
    """
    if ingredients.prior is None:
        raise UnveilError("the attack was given no prior", "the trained generator that its settings name")
    prior = _on_device(ingredients.prior, run).eval().requires_grad_(False)
    if not (run.compiled or run.mixed_precision):
        return prior
    frozen, fast = Frozen(prior, run.compile), copy.copy(prior)
    for name in PASSES:
        if hasattr(prior, name):
            setattr(fast, name, frozen.passing(name))
    return fast


def judges_of(ingredients: Ingredients, run: Run) -> list[Judge]:
    """The logits of the attacker's own models, as `prior_of` has the prior; not compiled."""
    return [Frozen(_on_device(one, run)).passing("logits") for one in ingredients.surrogates]


def _on_device(network: Net, run: Run) -> Net:
    return network.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@torch.no_grad()
def require_realism(prior: Generator, shape: tuple[int, int, int]) -> None:
    """Refuses a prior that cannot say how real a picture looks, by asking it once.

    Raises:
        UnveilError: If it cannot.
    """
    prior.realism(torch.zeros(1, *shape))
