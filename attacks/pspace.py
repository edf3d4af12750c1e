"""The P-space of MIRROR: styles before the mapping network's last activation, kept where such styles usually are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unveil.attacks.wspace import WSpace, first_styles
from unveil.harness.types import Generator, Run

CUTOFF = 8  # layers whose styles the released code truncates when it makes a picture


@dataclass(frozen=True)
class Box:
    """Where styles are allowed: within some standard deviations of the mean of many, coordinate by coordinate.

    Attributes:
        low: Least p ``(w_dim,)``.
        high: Greatest p ``(w_dim,)``.
        std: Standard deviation of p ``(w_dim,)``.
    """

    low: Tensor
    high: Tensor
    std: Tensor

    def clip(self, p: Tensor) -> Tensor:
        """Moves p ``(..., w_dim)`` inside."""
        return p.clamp(self.low, self.high)


def truncating(prior: Generator, shape: tuple[int, int, int], psi: float, *, late: bool) -> tuple[WSpace, float]:
    """Where styles lie, and the truncation that is left for presamples: none, if pictures are made of truncated ones.

    Args:
        prior: Whose styles.
        shape: Of the pictures that the target takes.
        psi: Truncation.
        late: Whether it is left to synthesis.
    """
    return (WSpace(prior, shape, truncation=(psi, CUTOFF)), 1.0) if late else (WSpace(prior, shape), psi)


def presampled(space: WSpace, prior: Generator, run: Run, count: int, psi: float, radius: float) -> tuple[Tensor, Box]:
    """Many styles and the box around them.

    Args:
        space: Where they lie.
        prior: Whose latents are drawn, the same for every class and every target.
        run: Randomness.
        count: How many.
        psi: Truncation; see `unveil.attacks.wspace.first_styles`.
        radius: Half the side of the box, in standard deviations.

    Returns:
        p, moved into the box, ``(count, w_dim)``, and the box.
    """
    p = space.to_p(first_styles(space, prior, run, count, psi, 1, single=True))
    mean, std = p.mean(0), p.std(0, unbiased=False)
    box = Box(mean - radius * std, mean + radius * std, std)
    return box.clip(p), box
