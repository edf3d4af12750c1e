"""Kernels on a batch, and how much two of them depend on each other: HSIC (normalised) and COCO.

A batch of m vectors becomes a kernel matrix ``(m, m)`` in float64; a measure takes two of them. Leading axes are
batches of matrices and broadcast. Everything can be differentiated, and works inside autocast regions.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-5  # as published


def gaussian(v: Tensor, sigma: float) -> Tensor:
    """``K_ab = exp(-|v_a - v_b|^2 / (2 sigma^2 dim))``, with the length of a vector as ``dim``.

    Dividing by ``dim`` means that sigma is measured against the root mean square difference of single coordinates.

    Args:
        v: ``(m, ...)``, flattened to m vectors. Distances are computed in its precision, float32 at least.
        sigma: Width, above 0.

    Returns:
        Symmetric ``(m, m)`` float64, ones on its diagonal.
    """
    flat = _vectors(v)
    with torch.autocast(v.device.type, enabled=False):
        flat = flat - flat.mean(0)  # moves nothing apart, and spares the difference below large numbers
        inner = flat @ flat.T
    inner = inner.double()
    norms = inner.diagonal()
    squared = norms[:, None] + norms - (inner + inner.T)  # exactly symmetric, and exactly zero on the diagonal
    return torch.exp(squared / (-2 * sigma**2 * flat.shape[1]))


def linear(v: Tensor) -> Tensor:
    """``K_ab = <v_a, v_b>`` of ``(m, ...)``: ``(m, m)`` float64."""
    flat = _vectors(v).double()
    return flat @ flat.T


def centred(k: Tensor) -> Tensor:
    """``HKH`` with ``H = I - 11^T/m``: the kernel ``(..., m, m)`` after moving the batch's mean to zero."""
    k = k - k.mean(-1, keepdim=True)
    return k - k.mean(-2, keepdim=True)


def hsic(a: Tensor, b: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Normalised HSIC, ``sum_ij (R_A)_ij (R_B)_ji`` with ``R_A = A~ (A~ + epsilon m I)^-1``.

    Between 0 and m - 1: about the number of directions that both kernels share and that stand out from ``epsilon m``.
    Independent samples share ``directions(A) directions(B) / (m - 1)`` by chance, so that many pixels and few pictures
    look dependent on anything. The publication has ``A~ = AH``; with the symmetric ``HAH`` used here
    the result is the same (push-through identity), and what is inverted is positive definite.

    Args:
        a: Kernel ``(..., m, m)`` float64, symmetric, positive semidefinite.
        b: Likewise.
        epsilon: Directions with an eigenvalue far below ``epsilon m`` do not count.

    Returns:
        ``(...)``.
    """
    return (_shrunk(a, epsilon) * _shrunk(b, epsilon)).sum((-2, -1))


def directions(k: Tensor, epsilon: float = EPSILON) -> Tensor:
    """How many directions of a kernel ``(..., m, m)`` count for HSIC: the trace of R, from 0 to m - 1."""
    return _shrunk(k, epsilon).diagonal(dim1=-2, dim2=-1).sum(-1)


def coco(a: Tensor, b: Tensor) -> Tensor:
    """COCO, ``sqrt(|A_c B_c|_F) / m`` with the centred kernels; not normalised.

    As released: the definition of constrained covariance has the largest singular value instead of Frobenius' norm.

    Args:
        a: Kernel ``(..., m, m)``, symmetric.
        b: Likewise.

    Returns:
        ``(...)``; where it is zero, so is its gradient.
    """
    squared = (centred(a) @ centred(b)).square().sum((-2, -1))
    positive = squared > 0
    root = torch.where(positive, squared, 1).pow(0.25)  # the root's slope at zero is infinite
    return torch.where(positive, root, 0) / a.shape[-1]


def _vectors(v: Tensor) -> Tensor:
    flat = v.flatten(1)
    return flat if flat.dtype == torch.float64 else flat.float()


def _shrunk(k: Tensor, epsilon: float) -> Tensor:
    """``R = K~ (K~ + epsilon m I)^-1``: eigenvalues e become ``e / (e + epsilon m)``."""
    k = centred(k)
    ridge = epsilon * k.shape[-1] * torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
    r: Tensor = torch.linalg.solve(k + ridge, k)  # K~ and the inverse commute
    return r
