"""Trained priors, as attacks search them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unveil.harness.words.run import draw_normal


class Generator(nn.Module):
    """A trained prior: latents in, images out, all in evaluation mode and per sample.

    Attributes:
        latent: Length of a latent vector.
    """

    latent: int

    def synthesize(self, z: Tensor) -> Tensor:
        """Latents ``(N, latent)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        raise NotImplementedError

    def sample(self, generators: Sequence[torch.Generator]) -> Tensor:
        """One latent per generator, ``(N, latent)``, from the distribution the prior was trained with."""
        return draw_normal(generators, (self.latent,))

    def realism(self, x: Tensor) -> Tensor:
        """How real each image looks to the prior's own critic, ``(N,)``; higher is more real."""
        raise NotImplementedError


class ConditionalGenerator(Generator):
    """A trained prior that is told whom to show.

    Attacks that know nothing of classes can search it, too: ``synthesize`` must show nobody in particular, and
    ``realism`` judge a picture whoever it shows.
    """

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents ``(N, latent)`` and the target's classes ``(N,)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        raise NotImplementedError
