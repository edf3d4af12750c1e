"""Whether networks still hold numbers: a training that diverged may end without any loss having said so."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unveil.harness.words.errors import TrainingError, listed

SHOWN = 3  # tensors named in an error

REMEDY = "lower lr, set grad_clip, lengthen warmup, or weaken the defense"


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity, each with how many numbers of how many."""
    counts = {n: int((~torch.isfinite(t)).sum()) for n, t in tensors.items() if t.is_floating_point() or t.is_complex()}
    return [f"{name} ({count} of {tensors[name].numel()} numbers)" for name, count in counts.items() if count]


def require_finite(network: nn.Module, what: str, when: str, remedy: str = REMEDY) -> None:
    """Refuses a network that training has filled with NaN or infinity.

    Args:
        network: Whose parameters and buffers are looked at.
        what: What it is, for the error, such as ``"training"``.
        when: Until when it was trained, such as ``"in epoch 3"``.
        remedy: What the user can do.

    Raises:
        TrainingError: If there are such numbers.
    """
    if found := not_finite(network.state_dict()):
        raise TrainingError(
            f"{what} diverged {when}: weights are not finite: {listed(found, SHOWN)}", "finite weights", remedy
        )
