"""Pairs of pictures that people judge, and the order in which each of them sees these."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a pair is; whoever judges must not know."""

    GENUINE = "genuine"
    IMPOSTOR = "impostor"
    RECONSTRUCTION = "reconstruction"


@dataclass(frozen=True)
class Pair:
    """A picture beside pictures of a person.

    Attributes:
        name: A hash of all its pixels.
        kind: What it is.
        person: Whom it is about, by data set and number.
        rows: Of a reconstruction, the rows that it stands in: defense and attack.
        picture: Draws it, as a PNG.
        verdicts: Of a reconstruction, whether each evaluator accepts it.
    """

    name: str
    kind: Kind
    person: str
    rows: tuple[str, ...]
    picture: Callable[[], bytes] = field(repr=False, compare=False)
    verdicts: Mapping[str, bool] = field(default_factory=dict)


def in_order(pairs: Sequence[Pair], judge: str) -> list[Pair]:
    """In a random order that hangs on the judge and on each pair alone: the same again after a pause.

    A pair that is added later comes somewhere between the others, and tells nothing by its place.
    """
    return sorted(pairs, key=lambda pair: hashlib.sha256(f"{judge}\x1f{pair.name}".encode()).digest())
