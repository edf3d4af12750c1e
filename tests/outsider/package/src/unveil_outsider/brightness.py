"""A metric: how bright reconstructions are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from unveil.harness.types import Direction, Evidence, Measurement, Metric


@dataclass(frozen=True)
class Brightness(Metric):
    """Mean brightness of each reconstruction."""

    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        made = evidence.reconstructions
        values, who = made.pixels.mean((1, 2, 3)).double().numpy(), made.labels.numpy()
        return [Measurement("mean", "brightness", Direction.LEAKS, 0.0, 1.0, values, identities=who, samples=len(made))]
