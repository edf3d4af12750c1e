"""What StyleGAN2 is made of: its sizes, fully connected layers, and the layers that a style modulates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks.priors import fir
from unveil.harness.words.errors import UnveilError


@dataclass(frozen=True)
class Layout:
    """Sizes of a network, in the words of the published settings.

    Attributes:
        resolution: Height and width of the pictures, a power of two from 8 to 1024.
        channels: Colours of the pictures.
        z_dim: Length of z.
        w_dim: Length of w.
        mapping_layers: Layers of the mapping network; 8 in the paper, 2 for small StyleGAN2-ADA settings.
        channel_base: Channels at a resolution are ``channel_base / resolution`` ...
        channel_max: ... and at most this many.
        clamp: Activations are kept within this of zero; None lets them be.
        noise: Whether the layers add noise.
        group: Pictures whose standard deviation the discriminator sees together.
    """

    resolution: int
    channels: int = 3
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    clamp: float | None = None
    noise: bool = True
    group: int = 4

    def __post_init__(self) -> None:
        if self.resolution not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise UnveilError(
                f"pictures of side {self.resolution} for a StyleGAN2, which doubles from 4x4",
                "a power of two from 8 to 1024",
                "set the data set's image size to a power of two",
            )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the pictures' own."""
        return tuple(1 << k for k in range(2, self.resolution.bit_length()))

    @property
    def num_ws(self) -> int:
        """Styles per picture."""
        return 2 * len(self.resolutions)

    def width(self, resolution: int) -> int:
        """Channels at a resolution."""
        return max(1, min(self.channel_base // resolution, self.channel_max))


class Affine(nn.Module):
    """A fully connected layer whose weights are scaled as they are used, so that all learn at one speed.

    Args:
        inputs: Length of the input.
        outputs: Length of the output.
        bias: Its first value.
        lr_multiplier: How much slower than the others it learns.
        active: Whether a leaky ReLU with gain √2 follows.
    """

    def __init__(
        self, inputs: int, outputs: int, *, bias: float = 0.0, lr_multiplier: float = 1.0, active: bool = False
    ) -> None:
        super().__init__()
        self.first_bias, self.lr_multiplier, self.active = bias, lr_multiplier, active
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights ~ N(0, 1) over the multiplier."""
        nn.init.normal_(self.weight, std=1 / self.lr_multiplier)
        nn.init.constant_(self.bias, self.first_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors ``(N, inputs)`` to ``(N, outputs)``."""
        gain = self.lr_multiplier / self.weight.shape[1] ** 0.5
        out = F.linear(x, self.weight * gain, self.bias * self.lr_multiplier)
        return F.leaky_relu(out, 0.2) * 2**0.5 if self.active else out


class SynthesisLayer(nn.Module):
    """A modulated, demodulated 3x3 convolution with noise, bias and leaky ReLU.

    Instead of convolving every sample with a kernel of its own, its inputs are scaled by its style and its outputs by
    the demodulation, which is the same (CVPR 2020, Sec. 2.2) and lets one convolution serve the batch.

    Args:
        layout: Sizes.
        inputs: Input channels.
        outputs: Output channels.
        resolution: Height and width of the output.
        up: Whether the input has half of them.
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(self, layout: Layout, inputs: int, outputs: int, resolution: int, *, up: bool) -> None:
        super().__init__()
        self.up, self.clamp, self.noisy = up, layout.clamp, layout.noise
        self.affine = Affine(layout.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.noise_strength = nn.Parameter(torch.empty(()))
        self.register_buffer("noise_const", torch.empty(resolution, resolution))
        self.register_buffer("resample_filter", fir.kernel())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights and constant noise ~ N(0, 1); no bias, and noise of strength zero."""
        nn.init.normal_(self.weight)
        nn.init.normal_(self.noise_const)
        nn.init.zeros_(self.bias)
        nn.init.zeros_(self.noise_strength)

    def forward(self, x: Tensor, w: Tensor, noise: torch.Generator | None) -> Tensor:
        """Activations ``(N, inputs, H, W)`` and styles ``(N, w_dim)`` to activations.

        Args:
            x: Activations.
            w: Styles.
            noise: Draws each sample's noise while training; None takes the constant noise.
        """
        s = self.affine(w)
        d = (s.square() @ self.weight.square().sum((2, 3)).T + 1e-8).rsqrt()
        x = x * s[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = fir.blur(x, 4 * self.resample_filter, padding=1)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        offset = self.bias[:, None, None]
        if self.noisy:
            offset = offset + self._noise(x, noise) * self.noise_strength
        gain = 2**0.5  # keeps the variance through the leaky ReLU; folded into scale and offset, as it is homogeneous
        x = F.leaky_relu(torch.addcmul(offset * gain, x, d[:, :, None, None] * gain), 0.2)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _noise(self, x: Tensor, noise: torch.Generator | None) -> Tensor:
        if noise is None:
            return self.noise_const
        return torch.randn(len(x), 1, *x.shape[2:], generator=noise).to(x.device)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to colours, without demodulation.

    Args:
        layout: Sizes.
        inputs: Input channels.
    """

    def __init__(self, layout: Layout, inputs: int) -> None:
        super().__init__()
        self.clamp = layout.clamp
        self.affine = Affine(layout.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.empty(layout.channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.empty(layout.channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights ~ N(0, 1), no bias."""
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Activations and styles to colours ``(N, channels, H, W)``."""
        s = self.affine(w) / self.weight.shape[1] ** 0.5
        out = F.conv2d(x * s[:, :, None, None], self.weight, self.bias)
        return out if self.clamp is None else out.clamp(-self.clamp, self.clamp)
