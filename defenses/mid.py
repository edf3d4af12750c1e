"""MID: a variational information bottleneck before the head limits what the answer can say about the picture."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unveil.defenses.averaging import aligned
from unveil.defenses.settled_noise import FIRST, normal
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Classifier, Defense, Run, Spec, Step, Terms
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import LATER


@dataclass(frozen=True)
class MID(Defense):
    """Mutual information regularisation: the head sees only a noisy code whose information about the picture costs.

    The linear head on features of length F becomes: Linear(F -> 2k), split into m and s; sigma = softplus(s - 5);
    h = m + sigma * eps with eps ~ N(0, I); Linear(k -> C). The loss gains the term ``kl``, which is beta times
    KL(N(m, sigma^2) || N(0, I)) in nats, mean over the batch.

    The noise stays on when the target is used, as published, unless ``noise = "mean"``. Here it is a function of the
    target's seed, the number of its training steps and the features of the picture, each picture's noise independent
    of every other's. So another picture meets another noise, however little it differs, and an attack that moves
    meets fresh noise at each step; but the same features always get the same answer, whoever asked before, whoever
    shares the batch, and after an interruption, too. Two limits: asking the same picture again does not average the
    noise away, as it would in the published code; and features that were rounded otherwise (by another device, or
    another batch size) meet other noise of the same distribution.

    The classifier's ``features`` remain those of its last stage, before the bottleneck: a white-box attack on
    features sees neither noise nor code. Classifiers whose head is not one linear layer are refused, and with them a
    second bottleneck.

    Attributes:
        beta: Weight of the KL. 0 is strength zero and leaves the bottleneck out altogether; to see what the bottleneck
            does without its price, take a very small beta.
        size: Length k of the code; None is half the length of the features.
        noise: When the target is used, ``"sample"`` adds the noise and ``"mean"`` answers from m. Training always adds
            it.
        softmax: Whether the network ends in a softmax, whose scores the loss then takes for logits and normalises
            again, as in the released IR-152.
    """

    paper: ClassVar[str] = (
        "Wang et al., Improving Robustness to Model Inversion Attacks via Mutual Information Regularization, "
        "AAAI 2021, arXiv:2009.05241"
    )

    per_sample: ClassVar[bool] = True

    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.003
    size: Annotated[int, Field(ge=1)] | None = None
    noise: Literal["sample", "mean"] = "sample"
    softmax: Annotated[bool, LATER] = False

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:
        """Puts the bottleneck before a new head.

        Raises:
            PluginError: If there is a bottleneck already, or the head is not linear.
        """
        if not self.beta:
            return classifier
        head = _linear(classifier.head)
        k = self.size or max(1, head.in_features // 2)
        with seeded(run, "mid", "initial weights"):
            bottleneck = Bottleneck(head.in_features, k, run.seed("mid", "noise"), sample=self.noise == "sample")
            linear = nn.Linear(k, head.out_features, bias=head.bias is not None)
        layers: dict[str, nn.Module] = {"bottleneck": bottleneck, "linear": linear}
        chain = nn.Sequential(OrderedDict({**layers, "softmax": nn.Softmax(1)} if self.softmax else layers))
        classifier.head = chain.to(head.weight.device, head.weight.dtype).train(classifier.training)
        return classifier

    def loss(self, terms: Terms, step: Step) -> Terms:
        """Adds ``kl``.

        Raises:
            PluginError: If another defense has taken the bottleneck away.
        """
        if not self.beta:
            return terms
        bottleneck = getattr(step.classifier.head, "bottleneck", None)
        if not isinstance(bottleneck, Bottleneck):
            raise PluginError(
                f"mid does not find its bottleneck: the head is {type(step.classifier.head).__name__}",
                "the head that mid put there",
                "drop the defense that replaces the head after mid",
            )
        return {**terms, "kl": self.beta * divergence(*bottleneck.encode(step.forward.features))}

    def ladder(self, classifier: Classifier) -> Sequence[MID]:  # noqa: ARG002
        """Beta from 0.001 to 0.1."""
        return [dataclasses.replace(self, beta=beta) for beta in (0.001, 0.003, 0.01, 0.03, 0.1)]

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over noise: pictures next to each other meet noise that is independent."""
        if not self.beta or self.noise == "mean":
            return None
        return aligned(attack, "paa", {"alpha": 0.01})

    def at_zero(self) -> MID:
        """The same with beta = 0, which is no bottleneck."""
        return dataclasses.replace(self, beta=0.0)


class Bottleneck(nn.Module):
    """Features ``(N, F)`` to a noisy code ``(N, k)``.

    Seed and number of training steps are buffers, so that a checkpoint brings back the noise with the weights.

    Args:
        features: F.
        size: k.
        seed: Of the noise.
        sample: Whether to add noise in evaluation mode, too.
    """

    seed: Tensor
    steps: Tensor

    def __init__(self, features: int, size: int, seed: int, *, sample: bool) -> None:
        super().__init__()
        self.code = nn.Linear(features, 2 * size)
        self.sample = sample
        self.register_buffer("seed", torch.tensor(seed))
        self.register_buffer("steps", torch.tensor(0))

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean m and standard deviation sigma of the code, each ``(N, k)``."""
        m, s = self.code(features).float().chunk(2, dim=1)
        return m, F.softplus(s - 5)

    def forward(self, features: Tensor) -> Tensor:
        """M + sigma * eps, or m."""
        m, sigma = self.encode(features)
        if not (self.training or self.sample):
            return m
        if self.training:
            self.steps += 1
        return m + sigma * normal(features, self.seed + self.steps * FIRST, m.shape[1])


def divergence(m: Tensor, sigma: Tensor) -> Tensor:
    """KL(N(m, diag sigma^2) || N(0, I)) in nats, mean over the batch.

    Args:
        m: ``(N, k)``.
        sigma: ``(N, k)``, > 0.

    Example:
        >>> divergence(torch.tensor([[0.5]]), torch.tensor([[0.1]]))
        tensor(1.9326)
    """
    return (-0.5 * (1 + 2 * sigma.log() - m**2 - sigma**2)).sum(1).mean()


def _linear(head: nn.Module) -> nn.Linear:
    if any(isinstance(module, Bottleneck) for module in head.modules()):
        raise PluginError(
            "mid on a classifier that has a bottleneck already",
            "one bottleneck: a second one would only blur the code of the first",
            "name mid once in the stack",
        )
    if not isinstance(head, nn.Linear):
        raise PluginError(
            f"mid cannot replace a head of type {type(head).__name__}",
            "one linear layer behind the last stage",
            "name mid before the defense that changes the head, or choose another model",
        )
    return head
