"""What a metric plugin looks at, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.defense import Plugin
from unveil.harness.words.given import Given
from unveil.harness.words.images import Data, Images
from unveil.harness.words.names import Direction, Quantity
from unveil.harness.words.needs import Need
from unveil.harness.words.run import Run


@dataclass(frozen=True)
class Measurement:
    """Values of one metric, before any mean or interval.

    A metric that is a mean gives ``values``, one per sample. One that is not (FID) gives ``value`` and its
    ``standard_error`` over identities. One that could not be computed gives a ``reason`` and neither.

    Attributes:
        column: What was measured, such as ``"top-1"``; a `Quantity` where there is more to say than a name, such as the
            false-accept rate.
        unit: Such as ``"share"`` or ``"squared distance"``.
        direction: What a higher value means.
        low: Smallest possible value.
        high: Largest possible value.
        values: One per sample ``(N,)``.
        identities: Class of each value ``(N,)``.
        value: A statistic of all samples.
        standard_error: Its standard error over identities.
        samples: How many pictures went in.
        reason: Why it is not scored.
        accepted: Whether each reconstruction, in the attack's order, is taken for the person it should show ``(N,)``.
            Only of columns that are such a verdict: it is what judges are compared by, picture by picture.
        counted: Whether the value hangs on how many samples there are (FID), so that only equal numbers compare.
    """

    column: str | Quantity
    unit: str
    direction: Direction
    low: float
    high: float
    values: NDArray[np.float64] | None = None
    identities: NDArray[np.int64] | None = None
    value: float | None = None
    standard_error: float | None = None
    samples: int = 0
    reason: str | None = None
    accepted: NDArray[np.bool_] | None = None
    counted: bool = False

    @property
    def about(self) -> Quantity:
        """The column in fields."""
        return self.column if isinstance(self.column, Quantity) else Quantity(quantity=self.column)


@dataclass(frozen=True)
class Evidence:
    """What a metric may look at.

    Attributes:
        data: Everything, private pictures included.
        target: The defended classifier.
        evaluator: The judge, where the metric needs one; never the target.
        reconstructions: What the attack returned, where the metric is about an attack.
        path: Pictures along the attack's search, one sample per person at several steps; None if it left none.
        identity_loss: What the attack descends (see ``Guided``); None if nothing.
        run: Randomness, device, progress.
        given: What the metric asked for with ``needs()``.
    """

    data: Data
    target: Classifier
    evaluator: Classifier | None
    reconstructions: Images | None
    run: Run
    path: Images | None = None
    identity_loss: Callable[[Tensor, Tensor], Tensor] | None = None
    given: Given = field(default_factory=Given)


@runtime_checkable
class Metric(Plugin, Protocol):
    """A measurement.

    Attributes:
        about: ``"target"`` if it needs no attack (utility), else ``"attack"``.
        needs_evaluator: Whether a judge looks at the pictures, so that it is repeated for each one.

    One that shows the target pictures has a third, ``own_part = False``; see `has_own_part`.
    """

    about: ClassVar[str]
    needs_evaluator: ClassVar[bool]

    def needs(self) -> Mapping[str, Need]:
        """What it wants besides its settings, by role. Where a model's weights cannot be had, nothing is scored."""
        return {}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Measures. What cannot be computed is a measurement with a reason, never a number."""
        ...


def has_own_part(metric: Metric) -> bool:
    """Whether a metric may have a part of the pictures of its own, a plan's ``crop``.

    Not so one that is about the target, nor one that says ``own_part = False``: the target is shown pictures as whoever
    attacks it shows them, and takes its own part.
    """
    return metric.about == "attack" and bool(getattr(metric, "own_part", True))
