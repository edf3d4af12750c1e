"""A control: public pictures changed pixel by pixel until the target takes them for the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.search import Descent, Key, State, labels_of, search
from unveil.harness.types import Access, Images, Ingredients, Need, Role, Run, View


@dataclass(frozen=True)
class PixelAdversarial:
    """Control: adversarial examples, which show nobody; whoever accepts them is as easily fooled as the target.

    Each starts from a public picture drawn by the seed and takes steps ``x ← Π(x - η sign ∇ℓ)`` (Madry et al., 2018),
    where Π keeps pixels in [0, 1] and within ``eps`` of the start.

    Attributes:
        samples: Pictures per identity, each from a start of its own.
        steps: Steps of descent.
        lr: Step size η, in pixel values; 2/255 by default.
        eps: Most that a pixel may change, in pixel values; 8/255 by default. None: no bound.
        identity: Identity loss ℓ.
        batch: Pictures in memory at once; changes no result beyond rounding.
    """

    samples: Annotated[int, Field(ge=1)] = 5
    steps: Annotated[int, Field(ge=1)] = 40
    lr: Annotated[float, Field(gt=0)] = 2 / 255
    eps: Annotated[float, Field(gt=0)] | None = 8 / 255
    identity: IdentityLoss = "cross_entropy"
    batch: Annotated[int, Field(ge=1)] = 300

    paper: ClassVar[str] = "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018"
    role: ClassVar[Role] = Role.GULLIBILITY
    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self) -> Mapping[str, Need]:
        """Nothing."""
        return {}

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives ``samples`` pictures for each label; see `harness.types.Attack.reconstruct`."""
        public = ingredients.public
        keys = [(int(y), s) for y in labels for s in range(self.samples)]

        def start(keys: Sequence[Key]) -> State:
            draws = [int(torch.randint(len(public), (), generator=g)) for g in run.generators("start", keys)]
            x = public.at(torch.tensor(draws)).to(run.device, memory_format=torch.channels_last)
            return {"x": x, "start": x.clone(), "y": labels_of(keys, run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:  # noqa: ARG001
            x = state["x"].detach().requires_grad_(True)
            with run.autocast():
                o = view.logits(x)
            loss = IDENTITY_LOSSES[self.identity](o.float(), state["y"])
            (g,) = torch.autograd.grad(loss.sum(), x)
            state["x"] = self.move(x.detach(), g, state["start"])
            return loss.detach()

        found = search(view, run, "pixel_adversarial", keys, self.steps, self.batch, Descent(start, step))
        return Images(found["x"].contiguous(), torch.tensor([y for y, _ in keys]))

    def move(self, x: Tensor, g: Tensor, start: Tensor) -> Tensor:
        """One step of pictures x by gradient g, no further than ``eps`` from where they started."""
        x = x - self.lr * g.sign()
        if self.eps is not None:
            x = torch.minimum(torch.maximum(x, start - self.eps), start + self.eps)
        return x.clamp(0, 1)
