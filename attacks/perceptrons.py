"""Many small perceptrons side by side, one or several for each sample, that share a batch and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Perceptrons:
    """Perceptrons of one shape. The weights of each are one row, so that they travel with samples as other state does.

    Attributes:
        sizes: Lengths of the input, of each hidden layer, and of the output.
        activation: After each hidden layer.
    """

    sizes: tuple[int, ...]
    activation: Callable[[Tensor], Tensor] = F.relu

    @property
    def length(self) -> int:
        """How many weights one has."""
        return sum((fan_in + 1) * out for fan_in, out in pairwise(self.sizes))

    def first(self, generators: Sequence[torch.Generator], *, silent: bool = False) -> Tensor:
        """First weights ``(len(generators), length)``: uniform within ``1 / sqrt(fan in)``, as torch's layers begin.

        Args:
            generators: One for each.
            silent: Whether the last layer is zero.
        """
        layers = list(pairwise(self.sizes))
        rows = []
        for g in generators:
            drawn = [(2 * torch.rand((i + 1) * out, generator=g) - 1) / i**0.5 for i, out in layers]
            rows.append(torch.cat([*drawn[:-1], torch.zeros_like(drawn[-1]) if silent else drawn[-1]]))
        return torch.stack(rows)

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Applies each to inputs of its own.

        Args:
            weights: ``(K, length)``.
            x: ``(K, B, sizes[0])``.

        Returns:
            ``(K, B, sizes[-1])``.
        """
        layers = list(pairwise(self.sizes))
        parts = weights.split([(fan_in + 1) * out for fan_in, out in layers], 1)
        for i, (part, (fan_in, out)) in enumerate(zip(parts, layers, strict=True)):
            layer = part.unflatten(1, (fan_in + 1, out))
            x = torch.baddbmm(layer[:, -1:], x, layer[:, :-1])
            x = x if i == len(layers) - 1 else self.activation(x)
        return x
