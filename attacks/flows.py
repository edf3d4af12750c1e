"""Normalising flows side by side: invertible maps of normal vectors, whose density is known (VMI's, after Glow)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.attacks.perceptrons import Perceptrons
from unveil.attacks.search import Key
from unveil.harness.types import Run


@dataclass(frozen=True)
class Flows:
    """Flows of one shape, one for each layer of each sample. The weights of a sample are one row.

    Each step adds to the second half of the coordinates what a perceptron makes of the first, shuffles all, and scales
    and shifts each (additive coupling and actnorm). Only the scale changes volumes.

    Attributes:
        latent: Length of a vector; 2 at least.
        layers: Flows of a sample.
        width: Of the perceptrons' two hidden layers.
        shuffles: Where the coordinates after each step come from ``(steps, latent)``, the same for all flows.
    """

    latent: int
    layers: int
    width: int
    shuffles: Tensor

    @property
    def coupling(self) -> Perceptrons:
        """What the first half adds to the second."""
        half = self.latent // 2
        return Perceptrons((half, self.width, self.width, self.latent - half), F.elu)

    def first(self, run: Run, keys: Sequence[Key]) -> Tensor:
        """Weights ``(K, P)``, in double precision, of flows that only shuffle: what they draw is normal."""
        places = [(*key, i, k) for key in keys for i in range(self.layers) for k in range(len(self.shuffles))]
        drawn = self.coupling.first(run.generators("flow", places), silent=True).double()
        still = torch.zeros(len(drawn), 2 * self.latent, dtype=torch.double)
        return torch.cat([still, drawn], 1).view(len(keys), -1)

    def draw(self, p: Tensor, z: Tensor) -> Tensor:
        """Vectors with weights ``(K, P)`` and standard normal ones ``(K, B, layers, latent)``, alike."""
        x = z.transpose(1, 2).flatten(0, 1)
        for part, shuffle in zip(self._steps(p).unbind(2), self.shuffles, strict=True):
            shift, scale, net = part.flatten(0, 1).split([self.latent, self.latent, self.coupling.length], 1)
            half = x[..., : self.latent // 2]
            x = torch.cat([half, x[..., self.latent // 2 :] + self.coupling(net, half)], -1)
            x = x[..., shuffle] * scale[:, None].exp() + shift[:, None]
        u: Tensor = x.unflatten(0, (len(p), self.layers)).transpose(1, 2)
        return u

    def divergence(self, p: Tensor, z: Tensor) -> Tensor:
        """How far what is drawn is from normal: ``E[ln q(u) - ln N(u)]``, the mean over layers.

        Args:
            p: Weights ``(K, P)``.
            z: Standard normal vectors ``(K, B, layers, latent)``.

        Returns:
            The estimate for each sample ``(K,)``.
        """
        volume = self._steps(p)[..., self.latent : 2 * self.latent].sum((2, 3))  # ln |du / dz|
        energy = (self.draw(p, z).square() - z.square()).sum(-1) / 2
        return (energy - volume[:, None]).mean((1, 2))

    def _steps(self, p: Tensor) -> Tensor:
        return p.view(len(p), self.layers, len(self.shuffles), -1)
