"""How far pictures are from others in a space of features: each from its own, or one set from the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Measure: TypeAlias = Literal["pw", "ct", "mmd"]
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the Gaussians, as multiples of the mean squared distance


def pointwise(s: Tensor, t: Tensor) -> Tensor:
    """Mean squared L2 distance of each source from its own target: features ``(N, F)``, ``(N, F)`` to a scalar."""
    return (s - t).square().sum(1).mean()


def conditional_transport(s: Tensor, t: Tensor) -> Tensor:
    """What it costs to move sources to targets, and targets to sources, each to those that it resembles.

    Args:
        s: Features of the sources ``(N, F)``.
        t: Features of the targets ``(M, F)``.

    Returns:
        ``½ mean_s Σ_t c a + ½ mean_t Σ_s c b``, where c is one minus the cosine, and a and b are the softmax of the
        inner products over targets and over sources.
    """
    likeness = t @ s.T
    cost = 1 - F.normalize(t, dim=1) @ F.normalize(s, dim=1).T
    forward, backward = (cost * likeness.softmax(0)).sum(0).mean(), (cost * likeness.softmax(1)).sum(1).mean()
    return (forward + backward) / 2


def maximum_mean_discrepancy(s: Tensor, t: Tensor) -> Tensor:
    """Squared MMD, biased, summed over five Gaussians ``exp(-d² / β)`` whose middle β is the mean d² of all pairs.

    Args:
        s: Features of the sources ``(N, F)``.
        t: Features of the targets ``(M, F)``.
    """
    x = torch.cat([s, t])
    d2 = (x[:, None] - x[None]).square().sum(2)
    middle = (d2.detach().sum() / (len(x) ** 2 - len(x))).clamp_min(torch.finfo(d2.dtype).tiny ** 0.5)
    kernel = torch.stack([(-d2 / (width * middle)).exp() for width in WIDTHS]).sum(0)
    n = len(s)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


MEASURES: Mapping[Measure, Callable[[Tensor, Tensor], Tensor]] = {
    "pw": pointwise,
    "ct": conditional_transport,
    "mmd": maximum_mean_discrepancy,
}
