"""MobileStyleGAN as a trained prior, with the style interface that PPA and MIRROR search."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.attacks.priors.style_networks import Clip, resize, truncated
from unveil.harness.models.mobile_networks import Features, Head, Mapping, ToPicture, Window, headed
from unveil.harness.models.mobile_weights import load_published
from unveil.harness.types import Generator, Run
from unveil.harness.words.errors import UnveilError


class MobileGenerator(Generator):
    """MobileStyleGAN, whole or cut with a small head: latents z to styles w to pixels. Noise is constant.

    Args:
        features: The synthesis network up to some resolution.
        end: From there to pixels.
        window: The part of the frame that is shown.
        size: Height and width of the pictures.

    Attributes:
        latent: Length of z.
        w_dim: Length of w.
        num_ws: Styles per picture, one per convolution; what upsamples before a convolution takes that one's.
        blocks: Parts of the synthesis, one per resolution of the features, and the end.
    """

    latent = w_dim = 512

    def __init__(self, features: Features, end: Head | ToPicture, window: Window, size: int) -> None:
        super().__init__()
        self.mapping, self.features, self.end = Mapping(), features, end
        self.window, self.size, self.num_ws = window, size, features.rows + end.rows
        self.blocks = features.depth + 1

    @property
    def w_avg(self) -> Tensor:
        """Mean style ``(w_dim,)``."""
        w_avg: Tensor = self.mapping.w_avg
        return w_avg

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Latents ``(N, latent)`` to styles ``(N, num_ws, w_dim)``, all rows of a sample equal but for truncation.

        Args:
            z: Latents.
            psi: Truncation: ``w_avg + ψ (w - w_avg)``; 1 keeps w, 0 gives the mean.
            cutoff: Truncate only the first so many rows, the coarse ones; None truncates all.
        """
        return truncated(self.mapping(z), self.w_avg, self.num_ws, psi, cutoff)

    def drawn(self, w: Tensor) -> Tensor:
        """Styles ``(N, num_ws, w_dim)`` to pixels ``(N, 3, size, size)`` around [0, 1], not clipped."""
        return self._ended(self.features(w), w) * 0.5 + 0.5

    def synthesize_w(self, w: Tensor) -> Tensor:
        """Styles ``(N, num_ws, w_dim)`` to pixels ``(N, 3, size, size)`` in [0, 1]; gradients are not clipped."""
        return self.finished(self._ended(self.features(w), w))

    def block(
        self,
        i: int,
        h: Tensor | None,
        rgb: Tensor | None,  # noqa: ARG002 (there are no colours before the end)
        w: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Features of one resolution to those of twice that, or to colours; see `unveil.attacks.layers.Layered`."""
        if h is None or i < self.features.depth:
            return self.features.part(i, h, w), None
        return h, self._ended(h, w)

    def finished(self, rgb: Tensor) -> Tensor:
        """Colours of the end to pixels ``(N, 3, size, size)`` in [0, 1], as `synthesize_w` gives them."""
        out: Tensor = Clip.apply(rgb * 0.5 + 0.5)  # type: ignore[no-untyped-call]
        return out

    def _ended(self, h: Tensor, w: Tensor) -> Tensor:
        ws = w[:, self.features.rows :]
        if isinstance(self.end, Head):
            return headed(h, self.end, self.window, self.size, ws)
        return resize(self.window.cut(self.end(h, ws)), self.size)

    def synthesize(self, z: Tensor) -> Tensor:
        """Latents ``(N, latent)`` to pixels ``(N, 3, size, size)`` in [0, 1], not truncated."""
        return self.synthesize_w(self.map(z))

    def realism(self, x: Tensor) -> Tensor:  # noqa: ARG002
        """Not to be had.

        Raises:
            UnveilError: Always: the network is published without a discriminator.
        """
        raise UnveilError(
            "MobileStyleGAN cannot say how real a picture looks: it comes without a discriminator",
            "an attack that does not ask",
            "set the attack's weight of realism to zero, or choose ppa or mirror",
        )


@torch.no_grad()
def load(generator: MobileGenerator, run: Run) -> None:
    """Fills a generator, but for a small head, with the published network, and moves it to the device."""
    generator.cpu()
    load_published(generator.mapping, generator.features, generator.end)
    generator.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator.eval().requires_grad_(False)
