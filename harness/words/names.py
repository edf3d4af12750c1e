"""Words that plugins, rows, page, tables and trackers share, and the fields that a column's name is made of. No torch.

A name is rendered from fields and never read back: whoever wants to know the rate of a column asks for its ``rate``.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, computed_field, field_validator, model_validator


class Direction(StrEnum):
    """What a higher value means."""

    LEAKS = "higher leaks more"
    PROTECTS = "higher leaks less"
    USEFUL = "higher is more useful"
    DESCRIBES = "neither better nor worse"


class Access(StrEnum):
    """How much of the target an attack sees: its threat model. Only attacks with the same one compare."""

    WHITE_BOX = "white-box"  # logits, features and gradients
    SCORES = "scores"  # softmax scores, no gradient
    LABELS = "labels"  # the arg-max only


class Precision(StrEnum):
    """How matrix work is rounded: ``auto`` is mixed on a GPU; ``probe`` lets a CPU try out each network, too."""

    AUTO = "auto"
    FULL = "full"
    MIXED = "mixed"
    PROBE = "probe"


Attacked: TypeAlias = Literal["drawn", "first"]
"""Which people are attacked where not all are: some drawn by chance, or the first by number."""


class Role(StrEnum):
    """What a control is for; see `unveil.harness.types.Control`."""

    FLOOR = "floor"
    CEILING = "ceiling"
    GULLIBILITY = "gullibility"


ATTACK_ACCURACY, UTILITY, COPIES, PANEL, TRUST = "attack_accuracy", "utility", "copies", "panel", "trust"
"""Metrics that others know by name; ``panel`` and ``trust`` are the harness's own."""

TOP_1, TOP_5, MACRO, CALIBRATION = "top-1", "top-5", "macro accuracy", "1 - calibration error"
"""Columns of classifiers: as judges, as what is judged, and as what is attacked."""

HEADLINE = (ATTACK_ACCURACY, TOP_1)
"""Metric and quantity that lead a page."""

ACCEPTS_PRIVATE, TAKES_STRANGERS = "accepts held-out private", "takes a stranger for a private person"
"""Columns of ``trust``: an evaluator's own ceiling and floor."""

MEAN_OF_JUDGES, EVERY_JUDGE, AGREEMENT, KAPPA = "mean of judges", "accepted by every judge", "agreement", "kappa"
CONFIRMED = "closed-set successes"
"""Columns of ``panel``: all judges together, and what one says of another's successes."""

VERIFIED, GENUINE, OTHERS = "verified", "genuine accepted", "other private people accepted"
THRESHOLD, AREA = "threshold", "area under the ROC"
"""Columns of face verification, all but the last at a false-accept rate."""

CLASSIFICATION, INVERSION, DIFFERENCE = "classification", "inversion", "difference"
FIRST_HALF, DEPTH, LAYER_SHARE = "first half", "depth", "share of a layer"
"""Tasks of Fisher information, with the difference between them, and what is said of each."""

ENDLESS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
"""How numbers that JSON has no word for are written, in settings and in rows."""


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Opinion(_Fields):
    """Whose yes or no to each picture, and which of its answers.

    Attributes:
        judge: An evaluator, or a metric that accepts or refuses by itself.
        answer: The column, of a judge with several answers; empty for the one that is its own.
        closed: Whether it had to name a private person in this answer, though it knows others.
    """

    judge: str
    answer: str = ""
    closed: bool = False

    def __str__(self) -> str:
        return f"{self.answer} ({self.judge})" if self.answer else self.judge


class Quantity(_Fields):
    """What a column says, in fields.

    Attributes:
        quantity: What was measured, such as ``top-1``; all there is to most columns.
        closed: Whether a classifier that knows others had to name a private person.
        rate: False-accept rate at which a verification system stands, in (0, 1].
        task: Of the target's two tasks, whose Fisher information it is; or their difference.
        layer: Of the target.
        confirmed: Whose successes are looked at again.
        confirmed_by: By whom.
    """

    quantity: str
    closed: bool = False
    rate: Annotated[float, Field(gt=0, le=1)] | None = None
    task: str | None = None
    layer: str | None = None
    confirmed: Opinion | None = None
    confirmed_by: Opinion | None = None

    @model_validator(mode="before")
    @classmethod
    def _rendered_again(cls, data: Any) -> Any:
        """The name is no field: it is taken for the quantity where there are no fields, and else left out."""
        if not isinstance(data, dict) or "column" not in data:
            return data
        return {"quantity": data["column"], **{name: value for name, value in data.items() if name != "column"}}

    @computed_field(description="name, unique among the columns of a metric and judge")  # type: ignore[prop-decorator]
    @property
    def column(self) -> str:
        """Name for a reader, unique among the columns of a metric and judge."""
        if self.layer is not None:
            return f"{self.task}: {self.layer}"
        name = f"closed-set {self.quantity}" if self.closed else self.quantity
        name = f"{self.task} {name}" if self.task is not None else name
        if self.confirmed is not None:
            name += f" of {self.confirmed} confirmed by {self.confirmed_by}"
        return name if self.rate is None else f"{name} at FAR {percent(self.rate)}"

    @property
    def about(self) -> Quantity:
        """Itself, without what a subclass adds."""
        return Quantity(**{name: getattr(self, name) for name in Quantity.model_fields})

    def __str__(self) -> str:
        return self.column


class Strength(_Fields):
    """One step of a sweep.

    Attributes:
        setting: The setting that is swept.
        value: Its value here, as in the plan.
    """

    setting: str
    value: Any

    @field_validator("value", mode="before")
    @classmethod
    def _number(cls, value: Any, info: ValidationInfo) -> Any:
        return ENDLESS.get(value, value) if info.mode == "json" and isinstance(value, str) else value

    def __str__(self) -> str:
        shown = ",".join(map(str, self.value)) if isinstance(self.value, list) else self.value
        return f"{self.setting}={shown}"


def percent(rate: float) -> str:
    """A rate in words.

    >>> percent(0.001)
    '0.1 %'
    """
    return f"{100 * rate:g} %"
