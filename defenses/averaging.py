"""What critics of defenses of answers would write: the mean answer over a picture's neighbours."""

from __future__ import annotations

from typing import Any

from unveil.harness.types import Spec

ATTACK = "query_averaging"
NEIGHBOURS = 16
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
