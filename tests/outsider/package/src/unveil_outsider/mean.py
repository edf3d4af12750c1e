"""An attack without a prior: the public pictures, weighted by the target's scores for them."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from unveil.harness.types import Access, Attack, Images, Ingredients, Run, Spec, View


@dataclass(frozen=True)
class MeanPicture(Attack):
    """The mean of all public pictures, each weighted by the target's score for the label."""

    access: ClassVar[Access] = Access.SCORES

    def needs(self) -> Spec | None:
        return None

    def reconstruct(self, view: View, ingredients: Ingredients, labels: torch.Tensor, run: Run) -> Images:
        x = ingredients.public.pixels
        weights = view.scores(x)[:, labels]
        pixels = torch.einsum("nk,nchw->kchw", weights / weights.sum(0), x)
        return Images(pixels.clamp(0, 1), labels)
