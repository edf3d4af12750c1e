"""The control that every attack is compared with: pictures from the prior that know nothing of the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from unveil.attacks.drawing import show, show_as
from unveil.attacks.frozen import prior_of
from unveil.attacks.search import OverPrior
from unveil.harness.types import Access, ConditionalGenerator, Images, Ingredients, Role, Run, Spec, View


@dataclass(frozen=True)
class RandomLatents(OverPrior):
    """Control: random samples of a prior, which ask the target nothing; what chance alone gives.

    With a prior that was trained on the target's answers (``inversion_gan``) it shows what that training alone leaks.
    A prior that takes a class (``conditional_gan``) is told the identity.

    Attributes:
        prior: The generator that is sampled.
        samples: Pictures per identity.
    """

    prior: Spec = field(default=Spec("wgan_gp"))
    samples: Annotated[int, Field(ge=1)] = 5

    paper: ClassVar[str] = ""
    role: ClassVar[Role] = Role.FLOOR
    access: ClassVar[Access] = Access.LABELS

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:  # noqa: ARG002
        """Gives ``samples`` pictures for each label; see `harness.types.Attack.reconstruct`."""
        prior = prior_of(ingredients, run)
        keys = [(int(y), s) for y in labels for s in range(self.samples)]
        with run.progress("random_latents", 1) as bar:
            z = prior.sample(run.generators("z", keys))
            if isinstance(prior, ConditionalGenerator):
                images = show_as(prior, z, keys, run)
            else:
                images = show(prior, z, keys, run)
            bar.advance()
        return images
