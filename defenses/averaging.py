"""What critics would write: the mean over a picture's neighbours, of answers or of the target's gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unveil.harness.types import Spec

ATTACK = "query_averaging"
NEIGHBOURS = 16
GRADIENTS = 8  # neighbours whose gradients are averaged
ARITHMETIC, GEOMETRIC = "arithmetic", "geometric"


def averaged(attack: Spec, sigma: float, mean: str) -> Spec:
    """Query averaging around an attack; around one that averages already, the wider of both and the mean of scores.

    Args:
        attack: What is wrapped. One that has the weights cannot be, and needs not be: it meets no defense of answers.
        sigma: How far neighbours lie.
        mean: Of scores or of logits.
    """
    if attack.use != ATTACK:
        how = {"neighbours": NEIGHBOURS, "sigma": sigma, "mean": mean}
        return Spec(ATTACK, {"base": attack.table(), **how})
    known: dict[str, Any] = dict(attack.settings)
    both = mean if known.get("mean", ARITHMETIC) == mean else ARITHMETIC
    return Spec(ATTACK, {**known, "sigma": max(sigma, known.get("sigma", sigma)), "mean": both})


def aligned(attack: Spec, variant: str, settings: Mapping[str, Any]) -> Spec:
    """AlignMI around an attack, which descends the mean gradient over a picture's neighbours.

    Args:
        attack: What is wrapped.
        variant: How neighbours are made.
        settings: Of that variant.
    """
    return Spec("align_mi", {"base": attack.table(), "variant": variant, **settings, "neighbours": GRADIENTS})
