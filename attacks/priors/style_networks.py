"""The StyleGAN2 generator with its style space, in the layout of the published weights.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020 (architecture "skip"); tensors are named
as in the StyleGAN2-ADA weights, so that those load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks.priors import fir
from unveil.attacks.priors.style_critic import StyleCritic
from unveil.attacks.priors.style_layers import Affine, Layout, SynthesisLayer, ToRGB
from unveil.harness.types import Generator
from unveil.harness.words.errors import UnveilError

W_AVG_BETA = 0.995  # how slowly the mean of w follows training


class Mapping(nn.Module):
    """The mapping network f: Z → W, a perceptron on normalised latents.

    Args:
        layout: Sizes.

    Attributes:
        w_avg: Mean of w over the training, ``(w_dim,)``.
    """

    w_avg: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.depth = layout.mapping_layers
        for k in range(self.depth):
            inputs = layout.z_dim if k == 0 else layout.w_dim
            self.add_module(f"fc{k}", Affine(inputs, layout.w_dim, lr_multiplier=0.01, active=True))
        self.register_buffer("w_avg", torch.zeros(layout.w_dim))

    def reset_parameters(self) -> None:
        """No style is the mean of none."""
        self.w_avg.zero_()

    def forward(self, z: Tensor) -> Tensor:
        """Latents ``(N, z_dim)`` to styles ``(N, w_dim)``; while training, their mean is followed."""
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for k in range(self.depth):
            w = self.get_submodule(f"fc{k}")(w)
        if self.training:
            self.w_avg.lerp_(w.detach().mean(0), 1 - W_AVG_BETA)
        return w


class SynthesisBlock(nn.Module):
    """All layers of one resolution; the first one starts from a learnt constant.

    Args:
        layout: Sizes.
        resolution: Height and width of the output.
    """

    resample_filter: Tensor

    def __init__(self, layout: Layout, resolution: int) -> None:
        super().__init__()
        out = layout.width(resolution)
        self.first = resolution == 4
        self.styles = 1 if self.first else 2  # besides the one of the colours, which is the next block's first, too
        if self.first:
            self.const = nn.Parameter(torch.empty(out, 4, 4))
        else:
            self.conv0 = SynthesisLayer(layout, layout.width(resolution // 2), out, resolution, up=True)
        self.conv1 = SynthesisLayer(layout, out, out, resolution, up=False)
        self.torgb = ToRGB(layout, out)
        self.register_buffer("resample_filter", fir.kernel())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The constant ~ N(0, 1)."""
        if self.first:
            nn.init.normal_(self.const)

    def forward(
        self, x: Tensor | None, rgb: Tensor | None, ws: Sequence[Tensor], noise: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Activations and colours of half the resolution (None for the first block) to those of this one.

        Activations without colours begin a picture of their own.
        """
        if x is None:
            constant = self.const.expand(len(ws[0]), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(constant, ws[0], noise)
            return x, self.torgb(x, ws[1])
        x = self.conv1(self.conv0(x, ws[0], noise), ws[1], noise)
        colours: Tensor = self.torgb(x, ws[2])
        return x, colours if rgb is None else fir.double(rgb, self.resample_filter) + colours


class Synthesis(nn.Module):
    """The synthesis network g: styles to pixels around [-1, 1].

    Args:
        layout: Sizes.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.resolutions = layout.resolutions
        for r in self.resolutions:
            self.add_module(f"b{r}", SynthesisBlock(layout, r))

    def forward(self, ws: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Styles ``(N, num_ws, w_dim)`` to pixels ``(N, C, H, W)``, not clipped."""
        x: Tensor | None = None
        rgb: Tensor | None = None
        for i in range(len(self.resolutions)):
            x, rgb = self.block(i, x, rgb, ws, noise)
        assert rgb is not None
        return rgb

    def block(
        self, i: int, x: Tensor | None, rgb: Tensor | None, ws: Tensor, noise: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Block i alone, of the styles ``(N, num_ws, w_dim)`` of a whole picture."""
        block = self.get_submodule(f"b{self.resolutions[i]}")
        assert isinstance(block, SynthesisBlock)
        first = max(0, 2 * i - 1)
        out: tuple[Tensor, Tensor] = block(x, rgb, ws.unbind(1)[first : first + block.styles + 1], noise)
        return out


class StyleGAN2(nn.Module):
    """Mapping and synthesis.

    Args:
        layout: Sizes.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.mapping, self.synthesis = Mapping(layout), Synthesis(layout)


class Clip(torch.autograd.Function):
    """Clips to [0, 1]; gradients pass as if it had not, for a saturated pixel would otherwise never come back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        """Clips."""
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ARG004
        """Lets gradients through."""
        return grads[0]


@dataclass(frozen=True)
class Frame:
    """How a synthesised picture is cut and resized to the data's.

    Attributes:
        crop: Side of the centre square that is kept; None keeps all.
        size: Side that it is resized to, with antialiasing; None keeps the size.
    """

    crop: int | None = None
    size: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Pixels ``(N, C, H, H)`` to pixels ``(N, C, size, size)``."""
        if self.crop is not None:
            at = round((x.shape[-1] - self.crop) / 2)
            x = x[..., at : at + self.crop, at : at + self.crop]
        return x if self.size is None else resize(x, self.size)


def truncated(w: Tensor, w_avg: Tensor, rows: int, psi: float, cutoff: int | None) -> Tensor:
    """Styles ``(N, w_dim)`` to ``(N, rows, w_dim)``, the first ``cutoff`` rows (None: all) drawn to the mean."""
    w = w[:, None].expand(-1, rows, -1)
    if psi == 1:
        return w
    kept = torch.arange(rows, device=w.device)[:, None] >= (rows if cutoff is None else cutoff)
    return torch.where(kept, w, w_avg.lerp(w, psi))


def resize(x: Tensor, size: int) -> Tensor:
    """Pixels with another number a side, bilinear and antialiased."""
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


class StyleGenerator(Generator):
    """A StyleGAN2 with its critic: latents z to styles w to pixels.

    Noise is constant, so that a picture depends on its styles alone.

    Args:
        network: The generator, the averaged one where training keeps an average.
        critic: Its discriminator; None if nobody has it.
        frame: From the network's pictures to the data's.

    Attributes:
        latent: Length of z.
        w_dim: Length of w.
        num_ws: Styles per picture, two per resolution; 18 at 1024 pixels.
        blocks: Parts of the synthesis, one per resolution; 9 at 1024 pixels.
    """

    def __init__(self, network: StyleGAN2, critic: StyleCritic | None, frame: Frame = Frame()) -> None:
        super().__init__()
        self.network, self.critic, self.frame = network, critic, frame
        self.latent, self.w_dim = network.layout.z_dim, network.layout.w_dim
        self.num_ws, self.blocks = network.layout.num_ws, len(network.layout.resolutions)

    @property
    def w_avg(self) -> Tensor:
        """Mean style ``(w_dim,)``."""
        w_avg: Tensor = self.network.mapping.w_avg
        return w_avg

    @property
    def resolution(self) -> int:
        """Side of a picture as the network draws it, before it is framed."""
        return self.network.layout.resolution

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Latents ``(N, latent)`` to styles ``(N, num_ws, w_dim)``, all rows of a sample equal but for truncation.

        Args:
            z: Latents.
            psi: Truncation: ``w_avg + ψ (w - w_avg)``; 1 keeps w, 0 gives the mean.
            cutoff: Truncate only the first so many rows, the coarse ones; None truncates all.
        """
        return truncated(self.network.mapping(z), self.w_avg, self.num_ws, psi, cutoff)

    def synthesize_w(self, w: Tensor) -> Tensor:
        """Styles ``(N, num_ws, w_dim)`` to pixels ``(N, C, H, W)`` in [0, 1].

        Values are clipped, gradients are not: a pixel beyond white still has the slope it would have had unclipped.
        """
        return self.finished(self.network.synthesis(w))

    def drawn(self, w: Tensor) -> Tensor:
        """Styles ``(N, num_ws, w_dim)`` to pixels ``(N, C, H, W)`` around [0, 1], not clipped."""
        return self.frame(self.network.synthesis(w) * 0.5 + 0.5)

    def block(self, i: int, h: Tensor | None, rgb: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        """Features and colours of one resolution to those of twice that; see `unveil.attacks.layers.Layered`."""
        out: tuple[Tensor, Tensor] = self.network.synthesis.block(i, h, rgb, w)
        return out

    def finished(self, rgb: Tensor) -> Tensor:
        """Colours of the last block to pixels ``(N, C, H, W)`` in [0, 1], as `synthesize_w` gives them."""
        out: Tensor = Clip.apply(self.frame(rgb * 0.5 + 0.5))  # type: ignore[no-untyped-call]
        return out

    def synthesize(self, z: Tensor) -> Tensor:
        """Latents ``(N, latent)`` to pixels ``(N, C, H, W)`` in [0, 1], not truncated."""
        return self.synthesize_w(self.map(z))

    def realism(self, x: Tensor) -> Tensor:
        """The discriminator's logit of each picture ``(N,)``, judged as a batch of its own.

        Raises:
            UnveilError: If the prior has no discriminator, or it judges whole pictures and is shown cut ones.
        """
        if self.critic is None or self.frame.crop is not None:
            raise UnveilError(
                "this StyleGAN2 cannot say how real a picture looks: "
                + ("it comes without a discriminator" if self.critic is None else "its discriminator knows whole ones"),
                "an attack that does not ask, or a discriminator and no crop",
                "set the attack's weight of realism to zero, or convert a file that has D and leave crop out",
            )
        out: Tensor = self.critic(resize(x, self.network.layout.resolution) * 2 - 1, group=1)
        return out
