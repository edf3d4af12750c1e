"""PLG-MI: search a generator that was taught what the target takes for each class (Yuan et al., AAAI 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import augment
from unveil.attacks.adam import adam
from unveil.attacks.drawing import show_as
from unveil.attacks.losses import IdentityLoss
from unveil.attacks.numbers import uniform
from unveil.attacks.search import ByLatents, Descent, Identity, Key, State, at, labels_of, search
from unveil.harness.types import ConditionalGenerator, Generator, Images, Run, Spec, View
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.spec import LATER

COPIES = 2  # views of a picture that the target sees in each step


@dataclass(frozen=True)
class PLGMI(ByLatents):
    """PLG-MI: finds latents whose pictures of a class the target recognises whichever way it sees them.

    Each step descends the sum of the losses of two random views of the picture. All restarts are returned, not
    augmented; none is selected. A step is two queries and two gradients.

    Attributes:
        prior: The generator whose latents are searched; it must take a class.
        restarts: Reconstructions per identity, each from its own start.
        steps: Steps of Adam; 600 as published.
        lr: Learning rate of Adam.
        identity: Identity loss; max-margin in the paper.
        batch: Images in memory at once; changes no result beyond rounding.
        turned: Probability that a view is turned; .5 in the released code, where it is its library's default.
    """

    prior: Spec = field(default=Spec("conditional_gan"))
    restarts: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 600
    lr: Annotated[float, Field(gt=0)] = 0.1
    identity: IdentityLoss = "max_margin"
    batch: Annotated[int, Field(ge=1)] = 150
    turned: Annotated[Annotated[float, Field(ge=0, le=1)], LATER] = 1.0

    paper: ClassVar[str] = "Yuan et al., Pseudo Label-Guided Model Inversion Attack via Conditional GAN, AAAI 2023"
    shown_each: ClassVar[int] = COPIES

    @property
    def passes(self) -> int:
        """Views of one person's pictures in each step."""
        return COPIES * self.restarts

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:  # noqa: ARG002
        """Refuses a prior that takes no class; see `harness.types.Demanding`."""
        _conditional(prior)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Gives ``restarts`` pictures of each label, found by descending that identity loss of their views.

        Raises:
            UnveilError: If the prior takes no class.
        """
        prior = _conditional(prior)
        keys = [(int(y), r) for y in labels for r in range(self.restarts)]
        numbers = uniform(run, "augment", COPIES * augment.NUMBERS)

        def start(keys: Sequence[Key]) -> State:
            z = prior.sample(run.generators("z", keys)).to(run.device)
            return {"z": z, "m": torch.zeros_like(z), "s": torch.zeros_like(z), "y": labels_of(keys, run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            u = numbers.at(keys, t).to(run.device)
            z = state["z"].requires_grad_(True)
            with run.autocast():
                loss = self.loss(at(identity, keys, t), prior.synthesize_as(z, state["y"]), state["y"], u)
            (g,) = torch.autograd.grad(loss.sum(), z)
            state["z"], state["m"], state["s"] = adam(z.detach(), g, state["m"], state["s"], t, self.lr)
            return loss.detach()

        def pictures(state: State) -> Tensor:
            return prior.synthesize_as(state["z"], state["y"])

        last = search(view, run, "plgmi", keys, self.steps, self.batch, Descent(start, step, pictures))
        return show_as(prior, last["z"], keys, run, self.batch)

    def loss(self, identity: Identity, x: Tensor, y: Tensor, u: Tensor) -> Tensor:
        """``Σ_i identity(aug_i(x), y)`` over two views, ``(N,)``.

        Args:
            identity: The identity loss, which knows whom to ask.
            x: Pixels ``(N, C, H, W)``; each view is coloured, and so clipped to [0, 1].
            y: Labels ``(N,)``.
            u: Uniform numbers ``(N, 2 * augment.NUMBERS)``, which decide the views.
        """
        look = augment.published(1.0, self.turned)
        seen = look(x.repeat_interleave(COPIES, 0), u.reshape(len(x) * COPIES, -1))
        losses = identity(seen, y.repeat_interleave(COPIES))
        return losses.view(-1, COPIES).sum(1)


def _conditional(prior: Generator) -> ConditionalGenerator:
    if not isinstance(prior, ConditionalGenerator):
        raise UnveilError(
            f"plgmi was given a {type(prior).__name__}, which takes no class",
            "a prior whose generator is a ConditionalGenerator",
            'set the attack\'s prior = { use = "conditional_gan" }',
        )
    return prior
