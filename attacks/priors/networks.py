"""The networks that GMI and KEDMI share: one generator and two critics, pixels in [0, 1] throughout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.harness.words.errors import UnveilError

LATENT = 100


def square_side(shape: tuple[int, int, int]) -> int:
    """The side of square images ``(C, H, W)``.

    Raises:
        UnveilError: If they are not as high as wide.
    """
    if shape[1] != shape[2]:
        raise UnveilError(
            f"images of {shape[2]} x {shape[1]} pixels for networks that draw squares",
            "images as high as wide",
            "give the attack a resolution: public pictures are then brought to a square of that side",
        )
    return shape[1]


def halvings(size: int) -> int:
    """How often a square image is halved until 4x4 is left, or up to 7x7 where the side is no power of two.

    Raises:
        UnveilError: If the side is not 16, 32, 64, ..., nor 5, 6 or 7 times a power of two.
    """
    count = size.bit_length() - 3
    if size < 16 or size != (size >> count) << count:
        raise UnveilError(
            f"images of side {size} for networks that double from 4x4 to 7x7",
            "a side of 16, 32, 64, ... or in between 80, 96, 112, ...",
            "give the attack a resolution, or the data set a size, that is a power of two, or 5, 6 or 7 times one",
        )
    return count


class GZ100(nn.Module):
    """Latents to pixels by transposed 5x5 convolutions, each doubling the side, from 4x4 (see `halvings`).

    Args:
        shape: Shape ``(C, H, W)`` of the images.
        width: Channels before the last layer; 64 as published (5,142,083 parameters at 3x64x64).
    """

    def __init__(self, shape: tuple[int, int, int], width: int = 64) -> None:
        super().__init__()
        ups = halvings(square_side(shape))
        wide, side = width << (ups - 1), shape[-1] >> ups
        self.start = nn.Sequential(
            nn.Linear(LATENT, wide * side**2, bias=False),
            nn.BatchNorm1d(wide * side**2),
            nn.ReLU(),
            nn.Unflatten(1, (wide, side, side)),
        )
        layers: list[nn.Module] = []
        for k in range(ups - 1):
            a, b = wide >> k, wide >> (k + 1)
            layers += [_double(a, b, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.up = nn.Sequential(*layers, _double(width, shape[0], bias=True), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        """Latents ``(N, 100)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        out: Tensor = self.up(self.start(z))
        return out


def _double(a: int, b: int, *, bias: bool) -> nn.Module:
    return nn.ConvTranspose2d(a, b, 5, stride=2, padding=2, output_padding=1, bias=bias)


def _halve(a: int, b: int, kernel: int = 5, *, norm: bool = True) -> list[nn.Module]:
    conv = nn.Conv2d(a, b, kernel, stride=2, padding=kernel // 2)
    return [conv, *([nn.InstanceNorm2d(b, affine=True)] if norm else []), nn.LeakyReLU(0.2)]


class DWGAN(nn.Module):
    """The critic of GMI: one score per image, no coupling between images.

    Args:
        shape: Shape ``(C, H, W)`` of the images.
        width: Channels of the first layer; 64 as published (4,316,545 parameters at 3x64x64).
    """

    def __init__(self, shape: tuple[int, int, int], width: int = 64) -> None:
        super().__init__()
        layers = _halve(shape[0], width, norm=False)
        count = halvings(square_side(shape))
        for k in range(count - 1):
            layers += _halve(width << k, width << (k + 1))
        self.layers = nn.Sequential(*layers, nn.Conv2d(width << (count - 1), 1, shape[-1] >> count))

    def forward(self, x: Tensor) -> Tensor:
        """Pixels ``(N, C, H, W)`` to scores ``(N,)``; higher looks more real."""
        out: Tensor = self.layers(x)
        return out.flatten()


class MinibatchDiscrimination(nn.Module):
    """How close each sample is to the others of its batch, through B learnt projections.

    Args:
        inputs: Length of the feature vector h.
        kernels: Number B of projections.
        dim: Length of each projection.
    """

    def __init__(self, inputs: int, kernels: int = 64, dim: int = 50) -> None:
        super().__init__()
        self.kernels, self.dim = kernels, dim
        self.theta = nn.Parameter(torch.empty(inputs, kernels * dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Θ ~ N(0, 1)."""
        nn.init.normal_(self.theta)

    def forward(self, h: Tensor) -> Tensor:
        """``s_ib = Σ_{j≠i} exp(-|m_ib - m_jb|_1)`` with ``m_i = h_i Θ``: ``(N, inputs)`` to ``(N, B)``."""
        m = (h @ self.theta).view(len(h), self.kernels, self.dim).transpose(0, 1)
        near = torch.cdist(m, m, p=1).neg().exp().sum(-1)
        return near.T - 1.0  # the sample itself is at distance zero


class DMB(nn.Module):
    """The discriminator of KEDMI: features, and one logit per class of the target (real is the K of K + 1).

    Args:
        shape: Shape ``(C, H, W)`` of the images.
        classes: Number of classes of the target.
        width: Channels of the first layer; 64 as published (18,888,936 parameters at 3x64x64, 1000 classes).
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int = 64) -> None:
        super().__init__()
        layers = _halve(shape[0], width)
        count = halvings(square_side(shape))
        for k in range(count - 2):
            layers += _halve(width << k, width << (k + 1))
        wide, side = width << (count - 2), shape[-1] >> count
        self.layers = nn.Sequential(*layers, *_halve(wide, wide, 3), nn.Flatten())
        self.closeness = MinibatchDiscrimination(wide * side**2)
        self.head = nn.Linear(wide * side**2 + self.closeness.kernels, classes)

    def forward(self, x: Tensor, *, coupled: bool = True) -> tuple[Tensor, Tensor]:
        """Pixels ``(N, C, H, W)`` to features ``(N, F)`` before the minibatch features, and logits ``(N, classes)``.

        Args:
            x: Pixels in [0, 1].
            coupled: Whether each image sees the others of its batch. Without, each is judged as a batch of one,
                whose minibatch features are zero: its answer then depends on nothing but itself.
        """
        h = self.layers(x)
        s = self.closeness(h) if coupled else h.new_zeros(len(h), self.closeness.kernels)
        return h, F.linear(torch.cat([h, s], 1), self.head.weight, self.head.bias)
