"""The DCGAN generator (Radford et al. 2016) in the layout of the DigiFace weights."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from unveil.harness.assets import fetch as assets
from unveil.harness.assets.checkpoints import read
from unveil.harness.words.errors import WeightsError


class DCGAN(nn.Module):
    """Latents to 64x64 pictures through five transposed convolutions.

    Attributes:
        latent: Length of a latent vector, 100; it is meant to be standard normal.
    """

    latent = 100

    def __init__(self) -> None:
        super().__init__()
        widths = (self.latent, 512, 256, 128, 64)
        layers: list[nn.Module] = []
        for i, (wide, narrow) in enumerate(pairwise(widths)):
            # 1 -> 4 pixels, then twice as many with every layer
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, stride=2 if i else 1, padding=1 if i else 0, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(inplace=True),
            ]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Latents ``(N, 100)`` to pixels ``(N, 3, 64, 64)`` in [0, 1]."""
        pixels: Tensor = self.main(z[:, :, None, None])
        return (pixels + 1) / 2


def load_digiface() -> DCGAN:
    """The generator trained on synthetic people, frozen and in evaluation mode, on the CPU.

    Raises:
        AssetError: If its weights cannot be had.
        WeightsError: If they do not fit.
    """
    path = assets.path("digiface")
    try:
        state = read(path).groups["netG_state_dict"]
        with torch.random.fork_rng([]):  # the weights drawn here are thrown away; nobody else's numbers may move
            network = DCGAN()
        network.load_state_dict(state)
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"{path} does not fit: {error}", "the DCGAN generator's state", f"delete {path}") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.4 times as fast on the CPU
    return network.eval().requires_grad_(False)
