"""A (1+1) evolution strategy: one parent, one child, and a step that grows with success."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GROWS, SHRINKS = 2.0, 0.84


@dataclass(frozen=True)
class OnePlusOne:
    """As nevergrad's optimiser resolves to for hundreds of dimensions and a thousand points.

    Attributes:
        low: Least coordinates ``(D,)``.
        high: Greatest.
        scale: What a step of 1 is in each coordinate ``(D,)``.
    """

    low: Tensor
    high: Tensor
    scale: Tensor

    def child(self, best: Tensor, sigma: Tensor, normal: Tensor) -> Tensor:
        """The next points to try.

        Args:
            best: The best points so far ``(N, D)``.
            sigma: Their steps ``(N,)``.
            normal: Standard normal numbers ``(N, D)``.
        """
        return (best + sigma[:, None] * self.scale * normal).clamp(self.low, self.high)


def told(best: Tensor, lowest: Tensor, sigma: Tensor, child: Tensor, loss: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is known once the losses of children ``(N,)`` are: best points, their losses, and steps.

    The step doubles if the child is better, and shrinks to .84 of it if it is worse; equal ones change nothing.

    Example:
        >>> point, sigma, lowest = torch.zeros(1, 1), torch.ones(1), torch.tensor([torch.inf])
        >>> steps = []
        >>> for loss in (5.0, 4.0, 4.5, 4.6, 4.0):
        ...     point, lowest, sigma = told(point, lowest, sigma, point, torch.tensor([loss]))
        ...     steps.append(round(float(sigma), 4))
        >>> steps
        [2.0, 4.0, 3.36, 2.8224, 2.8224]
    """
    better, worse = loss < lowest, loss > lowest
    sigma = sigma * torch.where(better, GROWS, torch.where(worse, SHRINKS, 1.0))
    return torch.where(better[:, None], child, best), torch.where(better, loss, lowest), sigma
