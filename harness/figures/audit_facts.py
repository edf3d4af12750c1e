"""What the audit of one given model found out before any attack, and what it left out. Knows no torch."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from unveil.harness.words.errors import StoreError
from unveil.harness.words.names import Access

ORDERS = ("declared", "by accuracy", "sorted names")


@dataclass(frozen=True)
class AuditFacts:
    """About one audit, beside its rows.

    Attributes:
        model: What was audited, as the user named it.
        file: Where its weights lie.
        checksum: SHA-256 of that file.
        access: What the attacks were allowed to see of the model: ``white-box``, ``scores`` or ``labels``.
        classes: People the model tells apart.
        people_checked: People whose given pictures were shown to it.
        pictures_checked: Pictures of them.
        accuracy: Share of these pictures it names rightly, in [0, 1].
        order: How it was found which class is whom: ``declared``, ``by accuracy`` or ``sorted names``.
        normalisation: What it expects of pixels, in words.
        size: Width and height of the pictures it takes.
        budget: Seconds the audit was allowed; None without a limit.
        spent: Seconds it took.
        tried: Attacks that were run: name, and what it stands for in one plain sentence.
        not_tried: What was left out: name, and why.
        notes: What a reader must know besides, in sentences.
        defenses: Names of the defended retrainings; empty if none were asked for.
        reference: Which of them has no defense, so that the others are compared with it; empty: compared with the model
            itself, from which they differ by more than the defense if its recipe is not known.
    """

    model: str
    file: str
    checksum: str
    access: str
    classes: int
    people_checked: int
    pictures_checked: int
    accuracy: float
    order: str
    normalisation: str
    size: int
    budget: float | None
    spent: float
    tried: tuple[tuple[str, str], ...] = ()
    not_tried: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    defenses: tuple[str, ...] = ()
    reference: str = ""

    def __post_init__(self) -> None:
        """Refuses what no report can word.

        Raises:
            ValueError: If a value is none of those it may be.
        """
        if self.access not in tuple(Access):
            raise ValueError(f"access is {self.access!r}, expected one of {', '.join(Access)}")
        if self.order not in ORDERS:
            raise ValueError(f"order is {self.order!r}, expected one of {', '.join(ORDERS)}")
        if not 0 <= self.accuracy <= 1:
            raise ValueError(f"accuracy is {self.accuracy}, expected a share between 0 and 1")
        if self.reference and self.reference not in self.defenses:
            raise ValueError(
                f"reference is {self.reference!r}, expected one of the defenses {', '.join(self.defenses)}"
            )
        if not 0 <= self.spent < math.inf:
            raise ValueError(f"spent is {self.spent}, expected seconds")

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> AuditFacts:
        """What `as_dict` gave.

        Raises:
            StoreError: If it is something else.
        """
        try:
            known = {field.name for field in dataclasses.fields(cls)}
            if unknown := sorted(set(plain) - known):
                raise ValueError(f"unknown: {', '.join(unknown)}")
            return _adapter.validate_python(dict(plain))
        except (ValidationError, ValueError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
            place = ".".join(map(str, first["loc"]))
            raise StoreError(
                f"these are no facts of an audit: {place}{': ' * bool(place)}{first['msg']}",
                "what this version of unveil writes",
                "run the audit again: known steps are not computed again",
            ) from error


_adapter = TypeAdapter(AuditFacts)
