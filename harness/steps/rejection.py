"""How a judge says "nobody here": a threshold on its answers, calibrated on people who will not be scored."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROWS = 1024  # whose softmax is in memory at once


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


class Threshold(nn.Module):
    """Adds one class, "nobody here", which wins wherever nobody's logit exceeds ``tau``: of judges by gallery."""

    tau: Tensor

    def __init__(self, tau: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("tau", torch.tensor(tau))

    def forward(self, o: Tensor) -> Tensor:
        """Logits ``(N, C)`` to ``(N, C + 1)``."""
        return torch.cat([o, self.tau.expand(len(o), 1)], dim=1)


def surest(logits: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """The largest share of the softmax in each row of ``(N, C)``, and whose it is.

    Some rows at a time: a softmax of all of them is as large as all logits, which may be gigabytes.

    Args:
        logits: Of any number of pictures.
        dtype: What to compute in; that of the logits if None.
    """
    parts = [part.to(dtype or part.dtype).softmax(1).max(1) for part in logits.split(ROWS)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def calibrate(strangers: Tensor, private: int, share: float) -> float:
    """A low threshold at which at most a share of strangers is taken for a private person.

    Args:
        strangers: Logits ``(N, C)`` of pictures of people whom the judge does not know.
        private: Number of private classes, which come first.
        share: Share of strangers that may pass.

    Returns:
        tau in [0, 1].
    """
    best, who = surest(strangers)
    confidence = torch.where(who < private, best, torch.zeros_like(best)).sort(descending=True).values
    passing = int(share * len(confidence))
    if passing >= len(confidence):
        return 0.0
    above = float(confidence[passing - 1]) if passing else 1.0
    return (float(confidence[passing]) + above) / 2  # halfway, so that rounding cannot move anybody across


def threshold(strangers: Tensor, private: int, share: float) -> float:
    """A low cosine that at most a share of strangers exceeds with the private person whom they are most alike.

    Whoever else is enrolled has no say: it can only make the judge stricter than that.

    Args:
        strangers: Cosines ``(N, C)`` of pictures of people who are not enrolled, N > 0.
        private: Number of private people, who come first.
        share: Share of strangers that may pass, below 1.
    """
    best = strangers[:, :private].max(1).values.sort(descending=True).values
    passing = int(share * len(best))
    return float((best[passing] + best[max(passing - 1, 0)]) / 2)  # halfway, so that rounding moves nobody across
