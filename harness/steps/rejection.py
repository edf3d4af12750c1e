"""How a judge says "nobody here": a threshold on its confidence, calibrated on people who will not be scored."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Reject(nn.Module):
    """Adds one class, "nobody here", which wins wherever no other class has more than a share ``tau`` of the softmax.

    Since ``p_k > tau`` is ``o_k > lse(o) + log tau``, the right-hand side is that class's logit.
    """

    tau: Tensor

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("tau", torch.tensor(tau))

    def forward(self, o: Tensor) -> Tensor:
        """Logits ``(N, C)`` to ``(N, C + 1)``."""
        return torch.cat([o, o.logsumexp(1, keepdim=True) + self.tau.log()], dim=1)


def calibrate(strangers: Tensor, private: int, share: float) -> float:
    """A low threshold at which at most a share of strangers is taken for a private person.

    Args:
        strangers: Logits ``(N, C)`` of pictures of people whom the judge does not know.
        private: Number of private classes, which come first.
        share: Share of strangers that may pass.

    Returns:
        tau in [0, 1].
    """
    best, who = strangers.softmax(1).max(1)
    confidence = torch.where(who < private, best, torch.zeros_like(best)).sort(descending=True).values
    passing = int(share * len(confidence))
    if passing >= len(confidence):
        return 0.0
    above = float(confidence[passing - 1]) if passing else 1.0
    return (float(confidence[passing]) + above) / 2  # halfway, so that rounding cannot move anybody across
