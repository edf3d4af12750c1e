"""Conformance of what is folded where attacks compute in bfloat16."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from unveil.harness.conformance.report import BreachError
from unveil.harness.words.folding import same
from unveil.harness.words.run import Run

Net = TypeVar("Net", bound=nn.Module)


@torch.no_grad()
def stirred(network: Net) -> Net:
    """A copy, in evaluation mode, whose norms do something; those of an untrained one leave all as it is."""
    taken, generator = copy.deepcopy(network).eval(), Run("conformance norms").generator("norms")
    for norm in (one for one in taken.modules() if isinstance(one, _NormBase)):
        for name, low, high in (("running_mean", -0.3, 0.3), ("running_var", 0.5, 1.5), ("weight", 0.5, 1.5)):
            if (there := getattr(norm, name)) is not None:
                there.copy_(low + (high - low) * torch.rand(there.shape, generator=generator))
    return taken


def require_the_same(before: Tensor, after: Tensor, what: str) -> None:
    """Refuses what folding has changed by more than rounding.

    Raises:
        BreachError: If so.
    """
    if not same(before, after):
        raise BreachError(
            f"{what} change by {(after - before).abs().max():.2g} when batch norms are folded into convolutions",
            "modules that are called as a trace of their forward says",
            "keep forward from deciding by what it is given what a convolution's output goes to",
        )
