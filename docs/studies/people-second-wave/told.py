"""The face generator as a prior that is told a class, which it takes no notice of: what PLG-MI and LOKT can search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from unveil.attacks.priors import made_from
from unveil.harness.models.dcgan import DCGAN, load_digiface
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, ConditionalGenerator, Images, Origin, Run, View


class Faces(ConditionalGenerator):
    """Draws the same face for every class."""

    latent = DCGAN.latent

    def __init__(self, network: DCGAN) -> None:
        super().__init__()
        self.network = network

    def synthesize(self, z: Tensor) -> Tensor:
        """Latents ``(N, 100)`` to pixels in [0, 1]."""
        pixels: Tensor = self.network(z)
        return pixels

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """The same, whoever is asked for."""
        return self.synthesize(z)

    def realism(self, x: Tensor) -> Tensor:
        """Nothing: it comes without a critic."""
        return x.new_zeros(len(x))


@dataclass(frozen=True)
class Told:
    """The face generator, which sees nobody."""

    access: ClassVar[Access | None] = None

    def content(self) -> Mapping[str, str]:
        """The weights."""
        return made_from.content("digiface", None)

    def origin(self) -> Origin | None:
        """What they were trained on."""
        return made_from.origin("digiface")

    def build(self, classes: int, shape: tuple[int, int, int]) -> Faces:  # noqa: ARG002
        """The network, without its weights."""
        with seeded(Run("told")):
            return Faces(DCGAN())

    def fit(self, generator: Faces, public: Images, view: View | None, run: Run) -> Mapping[str, Any]:  # noqa: ARG002
        """Fills it."""
        generator.network.load_state_dict(load_digiface().state_dict())
        return {}
