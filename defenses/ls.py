"""Label smoothing of either sign; the negative one makes scores say less about what a person looks like."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unveil.harness.types import Classifier, Defense, Spec, Step, Terms
from unveil.harness.words.errors import PluginError, TrainingError


@dataclass(frozen=True)
class LS(Defense):
    """Label smoothing: trains towards (1 - alpha) onehot + alpha / C. Negative alpha defends, positive alpha exposes.

    Takes the place of the cross-entropy, under the same name ``ce``; the curve ``LS/alpha`` shows the alpha of each
    epoch. With negative alpha the loss has no lower bound.

    A recipe that keeps the best epoch on validation chooses among those with the full alpha.

    Attributes:
        alpha: Below 1; 0 is no defense. The paper's defense is negative.
        schedule: ``"published"``: a positive alpha is constant; a negative one is 0 in the first half of the epochs E,
            alpha (e + 1 - E/2) / (E/2) in epochs e of the third quarter, so that it ends at alpha / 2, and alpha from
            then on; in a single epoch, alpha. ``"constant"``: alpha in every epoch.
    """

    paper: ClassVar[str] = (
        "Struppek et al., Be Careful What You Smooth For: Label Smoothing Can Be a Privacy Shield but Also a Catalyst "
        "for Model Inversion Attacks, ICLR 2024, arXiv:2310.06549"
    )

    per_sample: ClassVar[bool] = True

    alpha: Annotated[float, Field(lt=1, allow_inf_nan=False)] = -0.05
    schedule: Literal["published", "constant"] = "published"

    def loss(self, terms: Terms, step: Step) -> Terms:
        """Replaces ``ce``.

        Raises:
            PluginError: If another defense has changed ``ce``.
            TrainingError: If a negative alpha drove the loss out of bounds.
        """
        alpha = self.alpha_in(step.epoch, step.epochs)
        if not alpha:
            return terms
        logits = step.forward.logits.float()
        _require_plain(terms, F.cross_entropy(logits, step.y))
        ce = smoothed(logits, step.y, alpha)
        if alpha < 0 and not torch.isfinite(ce):
            raise TrainingError(
                f"label smoothing with alpha = {alpha} gives a loss of {float(ce.detach())} in epoch {step.epoch}",
                "a finite loss; below alpha = 0 it has no lower bound, and logits can grow until they overflow",
                "take an alpha nearer to 0 or schedule = 'published', or in the recipe lower lr or set grad_clip",
            )
        return {**terms, "ce": ce}

    def selectable(self, epoch: int, epochs: int) -> bool:
        """Once alpha is what was asked for."""
        return self.alpha_in(epoch, epochs) == self.alpha

    def ladder(self, classifier: Classifier) -> Sequence[LS]:  # noqa: ARG002
        """Alpha from -0.01 to -0.4."""
        return [dataclasses.replace(self, alpha=alpha) for alpha in (-0.01, -0.025, -0.05, -0.1, -0.2, -0.4)]

    def watch(self, step: Step) -> Mapping[str, float]:
        """The alpha of the epoch."""
        return {"alpha": self.alpha_in(step.epoch, step.epochs)} if self.alpha else {}

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:
        """Another identity loss: negative smoothing spoils the gradient of the cross-entropy, which it trains with."""
        if self.alpha >= 0 or "identity" not in settings:
            return None
        return Spec(attack.use, {**attack.settings, "identity": "max_margin"})

    def at_zero(self) -> LS:
        """The same with alpha = 0."""
        return dataclasses.replace(self, alpha=0.0)

    def alpha_in(self, epoch: int, epochs: int) -> float:
        """The alpha of an epoch, counted from 0.

        Example:
            >>> [LS(-0.5).alpha_in(epoch, 100) for epoch in (49, 50, 74, 75)]
            [0.0, -0.01, -0.25, -0.5]
        """
        if self.alpha >= 0 or self.schedule == "constant":
            return self.alpha
        if epochs == 1:
            return self.alpha  # there is no half in which it could be 0 first
        half = epochs / 2
        if epoch < half:
            return 0.0
        return self.alpha * (epoch + 1 - half) / half if epoch < 1.5 * half else self.alpha


def smoothed(logits: Tensor, y: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) (-log p_y) + alpha mean_k (-log p_k), mean over the batch.

    Args:
        logits: ``(N, C)``.
        y: Labels ``(N,)``.
        alpha: Below 1.

    Example:
        >>> smoothed(torch.tensor([[10.0, 1.0, -1.0, 2.0]]), torch.tensor([0]), -0.05)
        tensor(-0.3495)
    """
    log_p = logits.log_softmax(1)
    return (1 - alpha) * F.nll_loss(log_p, y) - alpha * log_p.mean(1).mean()


def _require_plain(terms: Terms, ce: Tensor) -> None:
    """Two defenses that each bring a cross-entropy of their own cannot both have their way."""
    if "ce" not in terms or not torch.allclose(terms["ce"].detach(), ce.detach(), equal_nan=True):
        raise PluginError(
            "label smoothing after another defense that changed the cross-entropy, such as a second label smoothing",
            "the plain cross-entropy to smooth",
            "name one defense that replaces it",
        )
