"""The residual discriminator of StyleGAN2, in the layout of the published weights (architecture "resnet")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks.priors import fir
from unveil.attacks.priors.style_layers import Affine, Layout


class EqualConv(nn.Module):
    """A convolution whose weights are scaled as they are used; on request it halves the side, or ends in a leaky ReLU.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: 1 or 3.
        clamp: Activations are kept within this of zero, times the gain; None lets them be.
        down: Whether the output has half as many pixels a side, filtered before every other one is taken.
        active: Whether bias and leaky ReLU with gain √2 follow.
    """

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, clamp: float | None, *, down: bool = False, active: bool = True
    ) -> None:
        super().__init__()
        self.down, self.clamp = down, clamp
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs)) if active else None
        self.register_buffer("resample_filter", fir.kernel())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights ~ N(0, 1), no bias."""
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Activations to activations times ``gain``."""
        kernel = self.weight.shape[-1]
        act = gain * 2**0.5 if self.bias is not None else gain
        weight = self.weight * (act / (self.weight.shape[1] * kernel**2) ** 0.5)  # gain folded in: ReLU is homogeneous
        if self.down and kernel == 1:
            x = F.conv2d(fir.halve(x, self.resample_filter), weight)
        elif self.down:
            x = F.conv2d(fir.blur(x, self.resample_filter, padding=2), weight, stride=2)
        else:
            x = F.conv2d(x, weight, None if self.bias is None else self.bias * act, padding=kernel // 2)
        if self.bias is not None:
            x = F.leaky_relu(x + (self.bias * act)[:, None, None] if self.down else x, 0.2)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class CriticBlock(nn.Module):
    """A residual block that halves the side.

    Args:
        layout: Sizes.
        resolution: Height and width of the input.
    """

    def __init__(self, layout: Layout, resolution: int) -> None:
        super().__init__()
        wide, out, clamp = layout.width(resolution), layout.width(resolution // 2), layout.clamp
        if resolution == layout.resolution:
            self.fromrgb = EqualConv(layout.channels, wide, 1, clamp)
        self.conv0 = EqualConv(wide, wide, 3, clamp)
        self.conv1 = EqualConv(wide, out, 3, clamp, down=True)
        self.skip = EqualConv(wide, out, 1, None, down=True, active=False)
        self.register_buffer("resample_filter", fir.kernel())

    def forward(self, x: Tensor) -> Tensor:
        """Pixels, for the first block, or activations ``(N, C, H, W)`` to activations of half the side."""
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        out: Tensor = self.conv1(self.conv0(x), gain=0.5**0.5) + self.skip(x, gain=0.5**0.5)
        return out


class CriticHead(nn.Module):
    """From 4x4 activations to a logit, with the standard deviation of a few pictures as one more channel.

    Args:
        layout: Sizes.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        wide = layout.width(4)
        self.conv = EqualConv(wide + 1, wide, 3, layout.clamp)
        self.fc = Affine(wide * 16, wide, active=True)
        self.out = Affine(wide, 1)

    def forward(self, x: Tensor, group: int) -> Tensor:
        """Activations ``(N, C, 4, 4)`` to logits ``(N,)``."""
        x = torch.cat([x, spread(x, group)], 1)
        out: Tensor = self.out(self.fc(self.conv(x).flatten(1)))
        return out[:, 0]


def spread(x: Tensor, group: int) -> Tensor:
    """Mean standard deviation of each picture's group: ``(N, C, H, W)`` to ``(N, 1, H, W)``.

    Groups have the largest size up to ``group`` that divides N; picture i is with i + N/size, i + 2N/size ...
    """
    size = next(g for g in range(min(group, len(x)), 0, -1) if len(x) % g == 0)
    y = x.reshape(size, -1, *x.shape[1:])
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    return y.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])


class StyleCritic(nn.Module):
    """The discriminator: pixels in [-1, 1] to logits, higher for real ones.

    Args:
        layout: Sizes.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        for r in layout.resolutions[:0:-1]:
            self.add_module(f"b{r}", CriticBlock(layout, r))
        self.b4 = CriticHead(layout)

    def forward(self, x: Tensor, group: int | None = None) -> Tensor:
        """Pixels ``(N, C, H, W)`` in [-1, 1] to logits ``(N,)``.

        Args:
            x: Pixels.
            group: Pictures judged together, the layout's number by default; 1 judges each on its own.
        """
        for r in self.layout.resolutions[:0:-1]:
            x = self.get_submodule(f"b{r}")(x)
        out: Tensor = self.b4(x, self.layout.group if group is None else group)
        return out
