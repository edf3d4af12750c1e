"""What a check of somebody's results came to. Knows no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

State = Literal["re-verified", "self-reported", "refuted"]
FILE = "standing.json"  # beside a report's results.json in a store; never in a bundle, whose maker would be its judge


@dataclass(frozen=True)
class Standing:
    """The verdict on results that somebody else computed, made here.

    Attributes:
        state: ``re-verified``: every headline figure was computed again and is equal within its rounding.
            ``self-reported``: nothing contradicts the rest, and not all could be computed again. ``refuted``: a figure
            or a count differs.
        checked: Headline figures that were computed again.
        of: Headline figures that there are.
        differences: What differs, with what was said and what was found; empty unless refuted.
        protocol: Of the results; see `harness.figures.protocol`.
        submitter: Who handed them in, by their own word; empty if they did not say.
        notes: What was not checked, and why.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    state: State
    checked: int
    of: int
    differences: tuple[str, ...]
    protocol: int
    submitter: str
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; `read` takes it back."""
        return {**asdict(self), "differences": list(self.differences), "notes": list(self.notes)}


def written(standing: Standing) -> str:
    """The text of a `FILE`."""
    return json.dumps(standing.as_dict(), indent=1) + "\n"


def read(text: str | None) -> Standing | None:
    """A standing from the text of its file; None if there is none, or none that can be read."""
    try:
        return None if text is None else TypeAdapter(Standing).validate_json(text)
    except ValidationError:
        return None
