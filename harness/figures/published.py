"""What papers report of a cell of a matrix. Knows no torch."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

NOT_REPRODUCED = "published protocol; numbers not yet reproduced by the authors of this software"
"""What is said of a plan with ``reproduced = false``."""

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Published(BaseModel):
    """Numbers of a paper, to stand beside ours. They are in no identity, and decide nothing.

    Attributes:
        defense: Name in tables; of a sweep, that of one row.
        attack: Name in tables.
        target: Name in tables; empty where the plan has one.
        data: Name in tables; empty where the plan has one.
        accuracy: Top-1 attack accuracy, in [0, 1].
        top5: Top-5 attack accuracy, in [0, 1].
        knn: Squared distance to the nearest private picture in an evaluator's features.
        fid: Fréchet distance of features.
        utility: Accuracy of the target, in [0, 1].
        source: Paper and table.
        differs: Where the protocol of that paper differs from this plan.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    defense: str
    attack: str
    target: str = ""
    data: str = ""
    accuracy: float
    top5: float | None = None
    knn: Number | None = None
    fid: Number | None = None
    utility: float | None = None
    source: Annotated[str, Field(min_length=1)]
    differs: list[str] = []

    @field_validator("accuracy", "top5", "utility")
    @classmethod
    def _a_share(cls, value: float | None) -> float | None:
        if value is not None and not 0 <= value <= 1:
            percent = f": {value:g} % is {value / 100:g}" if 1 < value <= 100 else ""
            told = "not a number" if math.isnan(value) else f"{value:g}"
            raise ValueError(f"{told} is no share between 0 and 1{percent}")
        return value
