"""The same picture again: one is kept, so that no copy is tested on that was trained on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unveil.harness.words.account import Remark, Side, remark
from unveil.harness.words.errors import DataError, listed
from unveil.harness.words.pixels import Stored

if TYPE_CHECKING:
    from unveil.harness.data.splits import Pictures

CHUNK = 256  # pictures at a time


def fingerprints(pixels: Stored) -> Iterator[bytes]:
    """A hash of each picture ``(N, C, H, W)``, as it is used.

    Files of the same content are the same here too, as are those that differ only in format, metadata or in what the
    resizing takes away.
    """
    for rows in torch.arange(len(pixels)).split(CHUNK):
        for picture in pixels[rows]:
            yield hashlib.sha256(picture.contiguous().numpy().data).digest()


def without_copies(
    pictures: Pictures, side: Side, given: Sequence[str] | None = None, *, published: bool = False
) -> tuple[Tensor, tuple[Remark, ...]]:
    """The rows to keep: the first of each picture.

    A public picture that is several people's is of neither: all of it is left out. So is a private one of a published
    data set, whose lists nobody here can correct.

    Args:
        pictures: In their order.
        side: Whose pictures these are.
        given: A role for each picture, if it is prescribed.
        published: Whether these are somebody's published lists. Then copies may be prescribed for two splits, and the
            one to train on is kept.

    Returns:
        Rows in ascending order, and what was left out.

    Raises:
        DataError: If a private picture is two people's, or prescribed for two splits.
    """
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for row, mark in enumerate(fingerprints(pictures.pixels)):
        groups[mark].append(row)
    same = [rows for rows in groups.values() if len(rows) > 1]
    torn = [rows for rows in same if len(_people(pictures, rows)) > 1]
    whole = [rows for rows in same if len(_people(pictures, rows)) <= 1]
    if side == "private" and not published:
        _require_one_person(pictures, torn)
        _require_one_role(pictures, same, given)
    copies = [row for rows in whole for row in _but_one(pictures, rows, given)]
    lost = [row for rows in torn for row in rows]
    keep = torch.ones(len(pictures.labels), dtype=torch.bool)
    keep[torch.tensor(copies + lost, dtype=torch.long)] = False
    remarks = (
        remark(side, "copies of a picture that is used (identical pixels)", _called(pictures, copies), decoded=True),
        remark(side, "pictures that are there as two people's", _called(pictures, lost), decoded=True),
    )
    return keep.nonzero().flatten(), tuple(one for one in remarks if one.count)


def without_private(public: Pictures, private: Pictures) -> tuple[Tensor, tuple[Remark, ...]]:
    """The rows of public pictures that are no private ones, pixel for pixel, and what was left out."""
    hidden = set(fingerprints(private.pixels))
    theirs = [row for row, mark in enumerate(fingerprints(public.pixels)) if mark in hidden]
    keep = torch.ones(len(public.labels), dtype=torch.bool)
    keep[theirs] = False
    told = remark("public", "pictures that are private ones, pixel for pixel", _called(public, theirs), decoded=True)
    return keep.nonzero().flatten(), (told,) if theirs else ()


def _people(pictures: Pictures, rows: Sequence[int]) -> set[int]:
    return {int(pictures.labels[row]) for row in rows} - {-1}


def _but_one(pictures: Pictures, rows: Sequence[int], given: Sequence[str] | None) -> list[int]:
    """All but the first, but the first that has a name, or but the first that is trained on."""
    named = [row for row in rows if pictures.labels[row] >= 0] or rows
    kept = next((row for row in named if given is not None and given[row] == "train"), named[0])
    return [row for row in rows if row != kept]


def _called(pictures: Pictures, rows: Sequence[int]) -> list[str]:
    return [pictures.called(row) for row in sorted(rows)]


def _together(pictures: Pictures, groups: Sequence[Sequence[int]]) -> str:
    return listed([" = ".join(pictures.called(row) for row in rows[:3]) for rows in groups])


def _require_one_person(pictures: Pictures, torn: Sequence[Sequence[int]]) -> None:
    if torn:
        raise DataError(
            f"{len(torn)} private pictures are there as two people's, pixel for pixel: {_together(pictures, torn)}",
            "each picture with one person",
            "remove it from the person who is not on it",
        )


def _require_one_role(pictures: Pictures, same: Sequence[Sequence[int]], given: Sequence[str] | None) -> None:
    torn = [rows for rows in same if given is not None and len({given[row] for row in rows}) > 1]
    if torn:
        raise DataError(
            f"{len(torn)} pictures are prescribed for two splits, as identical copies: {_together(pictures, torn)}",
            "all copies of a picture in one split: what was trained on must not be tested on",
            "remove the copies, or correct their splits",
        )
