"""Noise that is settled by what it is added to: the same input meets the same, so asking again tells no more."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea & Flood, OOPSLA 2014); its constants as signed 64-bit numbers
GOLDEN, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


def normal(given: Tensor, key: Tensor, size: int) -> Tensor:
    """Standard normal numbers that are a function of each row and a key, on any device, without gradient.

    Args:
        given: ``(N, F)``; rows that differ in a bit get independent numbers.
        key: An integer scalar; another key gives other numbers throughout.
        size: Numbers per row.

    Returns:
        ``(N, size)`` float32.
    """
    return math.sqrt(2) * torch.erfinv(symmetric(given, key, size))


def symmetric(given: Tensor, key: Tensor, size: int) -> Tensor:
    """Uniform numbers in (-1, 1), otherwise as ``normal``."""
    bits = (given.detach().float() + 0.0).contiguous().view(torch.int32).long()  # + 0.0: -0 is 0
    row = _mix(bits + GOLDEN * torch.arange(bits.shape[1], device=bits.device)).sum(1)
    cell = _mix(row + _mix(key))[:, None] + GOLDEN * torch.arange(1, size + 1, device=bits.device)
    odd = 2 * (_mix(cell) & 0xFFFFFF) + 1 - 2**24  # exact in float32, symmetric, never at either end
    return odd.float() / 2**24


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, on 64-bit integers that wrap."""
    z = (z ^ _shifted(z, 30)) * FIRST
    z = (z ^ _shifted(z, 27)) * SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """A shift to the right that brings in zeros."""
    return (z >> by) & ((1 << (64 - by)) - 1)
