"""What was read of a data set, and what lies there and was not: one table for terminal, page and store. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from unveil.harness.words.errors import LISTED

PARTS = ("train", "validation", "test", "public")
Side = Literal["private", "public"]


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Remark(_Plain):
    """One reason why something was not used, or was not used as it lies there.

    Attributes:
        side: Where it lies.
        what: What it is, and why it was not used; in the plural.
        count: How many.
        names: The first of them, as they can be printed.
        used: Whether these are used all the same.
        decoded: Whether pixels had to be looked at to find out; the rest is looked up anew by every run.
    """

    side: Side
    what: str
    count: int
    names: tuple[str, ...] = ()
    used: bool = False
    decoded: bool = False

    @property
    def sentence(self) -> str:
        """In one line."""
        more = [f"and {self.count - len(self.names)} more"] if self.names and self.count > len(self.names) else []
        names = f" ({', '.join([*self.names, *more])})" if self.names else ""
        return f"{'used' if self.used else 'not used'}, {self.side}: {self.what}: {self.count}{names}"


def remark(side: Side, what: str, names: Sequence[str], *, used: bool = False, decoded: bool = False) -> Remark:
    """A remark on all these, which names the first few."""
    return Remark(side=side, what=what, count=len(names), names=tuple(names[:LISTED]), used=used, decoded=decoded)


class Part(_Plain):
    """What one part of a data set holds.

    Attributes:
        people: People who are known.
        pictures: Of them and of others.
        fewest: Pictures of the person with fewest.
        most: Pictures of the person with most.
        nameless: Pictures of nobody known.
    """

    people: int
    pictures: int
    fewest: int
    most: int
    nameless: int = 0


class Account(_Plain):
    """What was read of a data set and what was not.

    Attributes:
        parts: What train, validation, test and public hold.
        people: Pictures of each private person in train, validation and test; left out where names must not be shown.
        remarks: Everything else that lies there, by reason.
        publishable: Whether names may be shown on a page.
    """

    parts: dict[str, Part]
    people: dict[str, tuple[int, int, int]]
    remarks: tuple[Remark, ...] = ()
    publishable: bool = False

    @property
    def ordered(self) -> dict[str, Part]:
        """The parts in their order, which JSON does not keep."""
        return {part: self.parts[part] for part in PARTS}

    def as_of_now(self, listed: Sequence[Remark]) -> Account:
        """With what was found beside the pictures now, instead of when they were decoded."""
        return self.model_copy(update={"remarks": (*listed, *(r for r in self.remarks if r.decoded))})

    def without_names(self) -> Account:
        """As it may be published."""
        bare = tuple(r.model_copy(update={"names": ()}) for r in self.remarks)
        return self.model_copy(update={"people": {}, "remarks": bare})

    def lines(self) -> Iterator[str]:
        """In words, a line each."""
        train, validation, test, public = self.ordered.values()
        split = f"{train.pictures} train, {validation.pictures} validation, {test.pictures} test"
        yield f"private: {train.people} people, {split} pictures"
        known = f" of {public.people} people" if public.people else ""
        nameless = f" ({public.nameless} of nobody known)" if public.nameless else ""
        yield f"public: {public.pictures} pictures{known}{nameless}"
        yield from (r.sentence for r in self.remarks)
        if not any(not r.used for r in self.remarks):
            yield "nothing else lies there"
