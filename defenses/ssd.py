"""SSD, the Stealthy Shield Defense: answers near the truth that are as much like the mean of a class as they can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.defenses.averaging import ARITHMETIC, averaged
from unveil.defenses.settled_noise import symmetric
from unveil.defenses.telling import Telling, tell
from unveil.harness.training.fit import predict
from unveil.harness.types import Classifier, DataError, Defense, Images, Run, Spec

MEANS = "ssd_means"
GRID = 64  # scores are rounded to so many steps before they settle a draw, so that rounding errors settle none
FLOOR = 1e-9  # a mean score of exactly 0 cannot be divided by


@dataclass(frozen=True)
class SSD(Defense):
    """Replaces scores by the nearest that are most like the mean answer of a class, which is drawn by the scores.

    Let f be the scores and q_c the mean scores of validation pictures of class c. A class y is drawn from
    softmax(f / T), T = ``temperature``. What is told is the p that minimises KL(p || q_y) among those at most
    epsilon * H(f) away from f, in the sum of absolute differences; H is the entropy in nats. So the unsurest answers
    change most, and their label may change, too: accuracy is measured on what is told.

    Asking again tells no more: the draw is settled by the scores, rounded to 1/64. A picture that was moved enough for
    that meets another draw.

    It acts on answers alone, so a white-box attack takes it off, and its row says so. It needs validation pictures of
    each class; a class without any gets the mean answer of those that the target takes for it, or, without those,
    its own score of one.

    Attributes:
        epsilon: How far the told scores may be from the true ones, per nat of entropy; 0 is no defense. Published: .35
            to .8 at 64 pixels, 1.5 at 224, by default .5.
        temperature: T of the draw; .1 as published. The softmax is of scores, not of logits, as published.
    """

    paper: ClassVar[str] = "Li et al., Stealthy Shield Defense, ICLR 2025"
    on_answers: ClassVar[bool] = True

    epsilon: Annotated[float, Field(ge=0, le=10)] = 0.5
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.1

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Makes room for the mean scores, which are stored with the weights."""
        if self.epsilon and not hasattr(classifier, MEANS):
            classifier.register_buffer(MEANS, torch.zeros(classifier.classes, classifier.classes))
        return classifier

    def calibrate(self, classifier: Classifier, validation: Images, run: Run) -> None:
        """Computes the mean scores of each class.

        Raises:
            DataError: If there are no validation pictures.
        """
        if not self.epsilon:
            return
        if not len(validation):
            raise DataError("ssd without validation pictures", "some, for the mean scores of each class", "set a share")
        scores = predict(classifier, validation, device=run.device).softmax(1)
        means = mean_scores(scores, validation.labels, scores.argmax(1))
        getattr(classifier, MEANS).copy_(means)

    def finish(self, classifier: Classifier, run: Run) -> Classifier:
        """Wraps the outputs, after whatever wraps them already."""
        if not self.epsilon:
            return classifier
        means = getattr(classifier, MEANS)
        return tell(classifier, Shield(means, self.epsilon, self.temperature, run.seed("ssd", "draw")), "ssd")

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over neighbours, which meet other draws."""
        return averaged(attack, 0.05, ARITHMETIC) if self.epsilon else None

    def ladder(self, classifier: Classifier) -> Sequence[SSD]:  # noqa: ARG002
        """Epsilon from .1 to 1.5."""
        return [dataclasses.replace(self, epsilon=epsilon) for epsilon in (0.1, 0.2, 0.35, 0.5, 0.8, 1.5)]

    def at_zero(self) -> SSD:
        """Epsilon 0."""
        return dataclasses.replace(self, epsilon=0.0)


class Shield(Telling):
    """Tells p in place of f.

    Args:
        means: Mean scores of each class ``(C, C)``.
        epsilon: See `SSD`.
        temperature: See `SSD`.
        seed: Of the draw.
    """

    means: Tensor
    seed: Tensor

    def __init__(self, means: Tensor, epsilon: float, temperature: float, seed: int) -> None:
        super().__init__()
        self.epsilon, self.draw = epsilon, temperature
        floored = means.double() + FLOOR
        self.register_buffer("means", floored / floored.sum(1, keepdim=True), persistent=False)
        self.register_buffer("seed", torch.tensor(seed), persistent=False)

    def tell(self, scores: Tensor) -> Tensor:
        """Scores ``(N, C)`` to those that are told."""
        f = scores.double()
        settled = symmetric((GRID * f).round(), self.seed, f.shape[1])
        gumbel = -(-((settled.double() + 1) / 2).log()).log()
        y = (f / self.draw + gumbel).argmax(1)
        return nearest_to(f, self.means[y], self.epsilon * torch.special.entr(f).sum(1)).to(scores)


def mean_scores(scores: Tensor, labels: Tensor, called: Tensor) -> Tensor:
    """Mean scores of each class ``(C, C)``.

    Args:
        scores: Of pictures ``(N, C)``.
        labels: Their classes ``(N,)``.
        called: What the target takes them for ``(N,)``, for classes that have none.
    """
    means = torch.eye(scores.shape[1], dtype=scores.dtype)
    for c in range(scores.shape[1]):
        for of in (labels == c, called == c):
            if of.any():
                means[c] = scores[of].mean(0)
                break
    return means


def nearest_to(f: Tensor, q: Tensor, far: Tensor) -> Tensor:
    """The p that minimises KL(p || q) among distributions with ``|p - f|_1 <= far``.

    It is ``clip(f, a * q, b * q)``: half of ``far`` is taken from the entries that are too large for q, and given to
    those that are too small. Each side is piecewise linear in its factor, which so is an extremum over prefix sums.

    Args:
        f: Scores ``(N, C)``.
        q: What they are to be like ``(N, C)``, above 0.
        far: ``(N,)``.

    Example:
        >>> f, q = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.9, 0.06, 0.04]])
        >>> nearest_to(f, q, torch.tensor([0.2]))
        tensor([[0.8000, 0.1200, 0.0800]])
    """
    order = (f / q).argsort(1)
    f_up, q_up = (t.gather(1, order).cumsum(1) for t in (f, q))
    f_down, q_down = (t.gather(1, order.flip(1)).cumsum(1) for t in (f, q))
    half = far[:, None] / 2
    a, b = ((half + f_up) / q_up).amin(1, keepdim=True), ((f_down - half) / q_down).amax(1, keepdim=True)
    near = ((f - q).abs().sum(1) <= far)[:, None]
    return torch.where(near, q, f.maximum(a * q).minimum(b * q))
