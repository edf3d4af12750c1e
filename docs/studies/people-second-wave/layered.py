"""The face generator as a prior that draws block by block, as IF-GMI needs it; its style is its latent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from unveil.attacks.priors import made_from
from unveil.harness.models.dcgan import DCGAN, load_digiface
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Generator, Images, Origin, Run, View


class Blocks(Generator):
    """Five blocks, and one style for all of them."""

    latent, num_ws, blocks = DCGAN.latent, 1, 5

    def __init__(self, network: DCGAN) -> None:
        super().__init__()
        self.network = network

    def synthesize(self, z: Tensor) -> Tensor:
        """Latents ``(N, 100)`` to pixels in [0, 1]."""
        pixels: Tensor = self.network(z)
        return pixels

    def realism(self, x: Tensor) -> Tensor:
        """Nothing: it comes without a critic."""
        return x.new_zeros(len(x))

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:  # noqa: ARG002
        """A latent is the style."""
        return psi * z[:, None]

    def synthesize_w(self, w: Tensor) -> Tensor:
        """Styles ``(N, 1, 100)`` to pixels."""
        pixels: Tensor = self.network(w[:, 0])
        return pixels

    def block(self, i: int, h: Tensor | None, rgb: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """Features behind block i; the last one's are the colours."""
        h = w[:, 0, :, None, None] if h is None else h
        h = self.network.main[3 * i : 3 * i + 3 if i < 4 else 13](h)
        h = h + 0 * w.sum((1, 2))[:, None, None, None]  # later blocks have no style, and yet a slope of nought
        return h, (h if i == 4 else None)

    def finished(self, rgb: Tensor) -> Tensor:
        """Colours to pixels."""
        return (rgb.tanh() + 1) / 2


@dataclass(frozen=True)
class Layered:
    """The face generator, which sees nobody."""

    access: ClassVar[Access | None] = None

    def content(self) -> Mapping[str, str]:
        """The weights."""
        return made_from.content("digiface", None)

    def origin(self) -> Origin | None:
        """What they were trained on."""
        return made_from.origin("digiface")

    def build(self, classes: int, shape: tuple[int, int, int]) -> Blocks:  # noqa: ARG002
        """The network, without its weights."""
        with seeded(Run("layered")):
            return Blocks(DCGAN())

    def fit(self, generator: Blocks, public: Images, view: View | None, run: Run) -> Mapping[str, Any]:  # noqa: ARG002
        """Fills it."""
        generator.network.load_state_dict(load_digiface().state_dict())
        return {}
