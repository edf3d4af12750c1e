"""CALoR's confidence adaptation: epochs after which the target is no longer surest of what it was trained on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unveil.harness.words.learner import Learner

MOMENTUM = 0.9
FALLS = (0.6, 0.8)  # shares of these epochs from which the learning rate is a tenth; published: 3 and 4 of 5


def adaptation(log_p: Tensor, alpha: float, gamma: float) -> Tensor:
    """The loss of each picture, lowest where p = e^(-1/gamma).

    Args:
        log_p: Logarithm of the score of the true class ``(N,)``.
        alpha: Weight.
        gamma: Exponent.

    Example:
        >>> round(float(adaptation(torch.tensor(0.5).log(), 0.25, 8.0)), 6)
        -0.000677
    """
    return alpha * (gamma * log_p).exp() * log_p


class Adapting(Learner):
    """Learns as the recipe says, and in the last epochs with SGD at a rate of its own.

    Args:
        plain: What it stands for.
        epochs: How many of the recipe's epochs are adaptation.
        lr: Their learning rate.
    """

    def __init__(self, plain: Learner, epochs: int, lr: float) -> None:
        super().__init__(plain.classifier, plain.labels, plain.recipe, plain.run)
        self.first, self.lr, self.epochs = plain.recipe.epochs - epochs, lr, epochs
        self.second = torch.optim.SGD(list(plain.classifier.trainable()), lr, momentum=MOMENTUM)
        self.usual, self.epoch = self.optimiser, 0

    def batches(self, epoch: int) -> list[Tensor]:
        """As the recipe has it; the optimiser of an epoch is taken up with them."""
        self.epoch = epoch
        self.optimiser = self.second if epoch >= self.first else self.usual
        return super().batches(epoch)

    def rate(self, lr: float) -> None:
        """The recipe's, or that of the adaptation."""
        done = (self.epoch - self.first) / self.epochs
        super().rate(lr if done < 0 else self.lr * 0.1 ** sum(done >= fall for fall in FALLS))

    def state(self) -> dict[str, Any]:
        """Of both optimisers."""
        return {"usual": self.usual.state_dict(), "adaptation": self.second.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts it back."""
        self.usual.load_state_dict(state["usual"])
        self.second.load_state_dict(state["adaptation"])
