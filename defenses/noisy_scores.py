"""Noisy scores: noise on the answers of a finished classifier, the baseline of every other defense of answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from unveil.defenses.averaging import GEOMETRIC, averaged
from unveil.defenses.settled_noise import normal, symmetric
from unveil.defenses.telling import Telling, tell
from unveil.harness.types import Classifier, Defense, Run, Spec

GRID = 64  # logits are rounded to so many steps a unit before they settle noise, so that rounding errors settle none


@dataclass(frozen=True)
class NoisyScores(Defense):
    """Adds noise to the logits when the target is used.

    Asking again tells no more: the noise is settled by the logits, rounded to 1/64. A picture that was moved enough for
    that meets other noise, so an attack that averages over small changes can still learn more.

    It acts on answers alone, so a white-box attack takes it off, and its row says so.

    Attributes:
        sigma: Standard deviation of the noise on each logit; 0 is no defense. As it grows the labels become those of
            chance.
        noise: Distribution.
    """

    paper: ClassVar[str] = "Baseline; Laplace noise: Dibbo et al., Improving Robustness to Model Inversion, 2024"
    on_answers: ClassVar[bool] = True

    sigma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    noise: Literal["normal", "laplace"] = "normal"

    def finish(self, classifier: Classifier, run: Run) -> Classifier:
        """Wraps the outputs, after whatever wraps them already."""
        if not self.sigma:
            return classifier
        return tell(classifier, Noisy(self.sigma, self.noise, run.seed("noisy scores")), "noisy_scores")

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over neighbours, which meet other noise: of logits, since the noise is on these."""
        return averaged(attack, 0.02, GEOMETRIC) if self.sigma else None

    def ladder(self, classifier: Classifier) -> Sequence[NoisyScores]:  # noqa: ARG002
        """Sigma from a quarter to 8."""
        return [dataclasses.replace(self, sigma=sigma) for sigma in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)]

    def at_zero(self) -> NoisyScores:
        """No noise."""
        return dataclasses.replace(self, sigma=0.0)


class Noisy(Telling):
    """Adds noise to the logarithms of the scores.

    Args:
        sigma: Standard deviation.
        noise: ``"normal"`` or ``"laplace"``.
        seed: Of the noise.
    """

    seed: Tensor

    def __init__(self, sigma: float, noise: str, seed: int) -> None:
        super().__init__()
        self.sigma, self.noise = sigma, noise
        self.register_buffer("seed", torch.tensor(seed), persistent=False)

    def tell(self, scores: Tensor) -> Tensor:
        """Scores ``(N, C)`` to noisy ones, which sum to one, too."""
        logits = scores.log().clamp_min(-50)
        by = (GRID * logits).round(), self.seed, logits.shape[1]
        unit = normal(*by) if self.noise == "normal" else laplace(symmetric(*by))
        return (logits + self.sigma * unit).softmax(1)


def laplace(u: Tensor) -> Tensor:
    """Uniform numbers in (-1, 1) to Laplace numbers with standard deviation 1."""
    return -u.sign() * (-u.abs()).log1p() / 2**0.5
