"""Evolution: a (1+1) strategy, whose step grows with success, and differential evolution of populations."""

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


LAST, FADES = 30, 50  # generations in which differences fade, and over how many they would fade to nothing


@dataclass(frozen=True)
class Differential:
    """Differential evolution as C2FMI has it: each child is its parent, moved by differences between others.

    Attributes:
        generations: How many there are.
        attraction: Share of the way to the best individual.
        differences: Weight of each of four differences.
    """

    generations: int
    attraction: float = 0.02
    differences: float = 0.1

    def weight(self, t: int) -> float:
        """Weight of the differences in generation t; it falls in the last 30, after a jump, as published.

        Example:
            >>> [round(Differential(500).weight(t), 4) for t in (0, 469, 470, 499)]
            [0.1, 0.1, 0.06, 0.002]
        """
        left = self.generations - t
        return self.differences * (left / FADES if left <= LAST else 1.0)

    def children(self, x: Tensor, best: Tensor, others: Tensor, inherits: Tensor, t: int) -> Tensor:
        """One child of each individual.

        Args:
            x: Populations ``(K, n, D)``.
            best: The best individual of each ``(K, D)``.
            others: Whose differences: places in the population ``(K, n, 8)``, the first four less the last.
            inherits: Which genes stay the parent's ``(K, n, D)``.
            t: The generation.
        """
        rows = torch.arange(len(x), device=x.device)[:, None, None]
        plus, minus = x[rows, others].chunk(2, 2)
        moved = x + self.attraction * (best[:, None] - x) + self.weight(t) * (plus - minus).sum(2)
        return torch.where(inherits, x, moved)
