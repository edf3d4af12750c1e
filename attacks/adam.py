"""Adam, written out because its state then travels with the samples, in batches and in checkpoints."""

from __future__ import annotations

from torch import Tensor


def adam(
    p: Tensor, g: Tensor, m: Tensor, s: Tensor, t: int, lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> tuple[Tensor, Tensor, Tensor]:
    """Step t (from 0) of Adam: parameters and both moments after it (Kingma and Ba, Alg. 1).

    Args:
        p: Parameters.
        g: Their gradient.
        m: First moment; zero before the first step.
        s: Second moment; zero before the first step.
        t: Steps done.
        lr: Learning rate.
        betas: Decay of both moments.
    """
    b1, b2 = betas
    m = b1 * m + (1 - b1) * g
    s = b2 * s + (1 - b2) * g.square()
    m_hat, s_hat = m / (1 - b1 ** (t + 1)), s / (1 - b2 ** (t + 1))
    return p - lr * m_hat / (s_hat.sqrt() + 1e-8), m, s
