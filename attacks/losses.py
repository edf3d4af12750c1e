"""Identity losses: how far logits are from showing the attacked class, one value per sample. Lower is closer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

IdentityLoss: TypeAlias = Literal["cross_entropy", "logit", "max_margin", "poincare"]


def cross_entropy(o: Tensor, y: Tensor) -> Tensor:
    """``lse(o) - o_y`` (GMI, KEDMI): logits ``(N, C)`` and labels ``(N,)`` to ``(N,)``."""
    return F.cross_entropy(o, y, reduction="none")


def logit(o: Tensor, y: Tensor) -> Tensor:
    """``-o_y`` (Nguyen et al., Re-thinking model inversion, 2023): as `cross_entropy`."""
    return -o.gather(1, y[:, None])[:, 0]


def max_margin(o: Tensor, y: Tensor) -> Tensor:
    """``-o_y + max_{k≠y} o_k`` (Yuan et al., PLG-MI, 2023): as `cross_entropy`."""
    others = o.scatter(1, y[:, None], float("-inf"))
    return logit(o, y) + others.amax(1)


def poincare(o: Tensor, y: Tensor) -> Tensor:
    """Hyperbolic distance of ``o / |o|_1`` from the class's corner (Struppek et al., PPA, 2022): as `cross_entropy`."""
    u = o / o.abs().sum(1, keepdim=True)
    v = (F.one_hot(y, o.shape[1]).to(o) - 1e-4).clamp(0, 1)
    gap = (u - v).square().sum(1)
    room = (1 - u.square().sum(1)) * (1 - v.square().sum(1))
    return torch.acosh(1 + 2 * gap / room)


IDENTITY_LOSSES: Mapping[IdentityLoss, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "logit": logit,
    "max_margin": max_margin,
    "poincare": poincare,
}


def k_plus_one(o: Tensor) -> Tensor:
    """``softplus(lse(o)) - lse(o) = softplus(-lse(o))``: how unreal a K + 1 discriminator finds a sample.

    Args:
        o: Discriminator logits ``(N, C)``; the logit of class K + 1, "generated", is fixed at zero.

    Returns:
        ``-log p(real)``, ``(N,)``.
    """
    return F.softplus(-o.logsumexp(1))
