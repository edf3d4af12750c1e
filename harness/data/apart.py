"""Whether a private person is among the public ones: what is refused, and how much may be claimed of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unveil.harness.data.copies import fingerprints
from unveil.harness.data.names import alike, could_be_shards, is_name, same_as
from unveil.harness.words.errors import DataError, listed

if TYPE_CHECKING:
    from unveil.harness.data.splits import Pictures

NO_COPY = "no identical picture is on both sides (one saved again, resized, mirrored or cut differently is not found)"


def require_disjoint(private: Pictures, public: Pictures, apart: str = "") -> str:
    """Refuses people and pictures that are on both sides.

    Args:
        private: Pictures of the private people.
        public: Pictures of other people.
        apart: How the data set was made so that nobody is on both sides, in words; empty if only names can tell.

    Returns:
        How it is known that no private person is among the public ones, in words: no more than was checked.

    Raises:
        DataError: If a name is on both sides, or the same picture is; if names of one side differ in spelling only.
    """
    if not len(public.labels):
        raise DataError("there is no public picture", "pictures of other people, for the attacker to learn from")
    for names in (private.names, public.names):
        _require_distinct(names)
    known = {same_as(name) for name in public.names}
    both = [name for name in private.names if same_as(name) in known]
    if both:
        raise DataError(
            f"{len(both)} people are private and public: {listed(both)}",
            "public pictures of other people only: an attacker who has the private ones proves nothing",
            "remove them from one side; if the same name means different people, rename them",
        )
    _require_no_shared_picture(private, public)
    return f"{f'by construction: {apart}' if apart else _by_name(private, public)}; {NO_COPY}"


def _require_distinct(names: tuple[str, ...]) -> None:
    groups = alike(names)
    if groups:
        told = [" and ".join(repr(name) if name.isascii() else ascii(name) for name in group) for group in groups]
        raise DataError(
            f"{len(groups)} names are there in spellings that differ in case, blanks, leading zeros or Unicode form: "
            f"{listed(told)}",
            "one spelling for each person",
            "give all pictures of one person the same name; if these are different people, rename one",
        )


def _require_no_shared_picture(private: Pictures, public: Pictures) -> None:
    hidden = {mark: row for row, mark in enumerate(fingerprints(private.pixels))}
    hits = [(hidden[mark], row) for row, mark in enumerate(fingerprints(public.pixels)) if mark in hidden]
    if hits:
        people = sorted({private.names[int(private.labels[row])] for row, _ in hits})
        pairs = [f"{public.called(row)} is {private.called(hit)}" for hit, row in hits]
        raise DataError(
            f"{len(hits)} public pictures are, pixel for pixel, pictures of private people: {listed(people)} "
            f"({listed(pairs)})",
            "public pictures of other people only",
            "remove these pictures from the public side",
        )


def _by_name(private: Pictures, public: Pictures) -> str:
    """What the names on both sides show, if they can show anything."""
    named = int((public.labels >= 0).sum())
    if not named:
        return "not known by name: the public pictures have no names"
    sides = (private.names, public.names)
    heaps = [could_be_shards(names) for names in sides]
    numbers = [name for names, heap in zip(sides, heaps, strict=True) for name in names if heap or not is_name(name)]
    if numbers:
        return (
            f"not known by name: {len(numbers)} of {len(private.names) + len(public.names)} names are numbers or words "
            f"that are no person's name"
        )
    people = f"none of the {len(private.names)} private people is among the {len(public.names)} public ones"
    if named < len(public.labels):
        return (
            f"in part: {people}, but {len(public.labels) - named} of {len(public.labels)} public pictures have no name"
        )
    return f"by name: {people}"
