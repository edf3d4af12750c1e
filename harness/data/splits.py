"""From pictures to ``Data``: each picture once, stratified splits, a checksum, and the way into the store and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unveil.harness.data.apart import require_disjoint
from unveil.harness.data.copies import without_copies, without_private
from unveil.harness.words import pixels as eight_bit
from unveil.harness.words.account import Remark
from unveil.harness.words.errors import DataError, listed
from unveil.harness.words.images import Data, Images
from unveil.harness.words.pixels import Chosen, Stored, chosen, to_float, to_uint8
from unveil.harness.words.run import Run

CHUNK = 256  # pictures that are hashed at a time
ROLES = ("train", "validation", "test")
PARTS = (*ROLES, "public")


@dataclass(frozen=True)
class Pictures:
    """Pictures of named people, before they are split.

    Attributes:
        pixels: ``(N, C, H, W)`` uint8, so that a stored data set is the data set that was loaded; a tensor, or what
            `unveil.harness.data.images.decode` gives, which may be a file.
        labels: ``(N,)`` int64, index into ``names``; -1 where nobody knows.
        names: The people, in the order of their numbers.
        files: What each picture is called in a message; empty if nothing.
    """

    pixels: Stored
    labels: Tensor
    names: tuple[str, ...]
    files: tuple[str, ...] = ()

    def called(self, row: int) -> str:
        """What a picture is called in a message."""
        if self.files:
            return self.files[row]
        number = int(self.labels[row])
        return f"picture {row} ({self.names[number] if number >= 0 else 'of nobody known'})"

    def __getitem__(self, rows: Tensor) -> Pictures:
        files = tuple(self.files[row] for row in rows.tolist()) if self.files else ()
        return Pictures(chosen(self.pixels).choose(rows), self.labels[rows], self.names, files)


@dataclass(frozen=True)
class Shares:
    """How much of each person's pictures goes where.

    Attributes:
        test: Share of all pictures, in (0, 1).
        validation: Share of those that are left, in [0, 1); with 0 nobody has one.
        seed: Seed of the draw.
    """

    test: float
    validation: float
    seed: int


def label(people: Sequence[str], order: Sequence[str] | None = None) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers people 0..C-1.

    Args:
        people: Who is on each picture; empty where nobody knows.
        order: All of them, as they are numbered; None for sorted order.

    Returns:
        Labels ``(N,)`` int64 (-1 for nobody knows) and the names in their order.
    """
    names = tuple(sorted(set(people) - {""})) if order is None else tuple(order)
    index = {name: i for i, name in enumerate(names)} | {"": -1}
    return torch.tensor([index[person] for person in people], dtype=torch.int64), names


def stratify(
    labels: Tensor,
    names: Sequence[str],
    shares: Shares,
    given: Sequence[str] | None = None,
    *,
    uneven: bool = False,
) -> dict[str, Tensor]:
    """Divides each person's pictures into train, validation and test, at least one in each that is not to be empty.

    Each person is drawn with an own generator, so that adding people does not move anybody else's pictures.

    Args:
        labels: ``(N,)``, each an index into ``names``.
        names: The people.
        shares: How much goes where.
        given: A role for each picture, if it is prescribed; validation is carved from train where it is not among them.
        uneven: Whether people may have no pictures to validate or test on, as where a published split was drawn from
            all pictures together. There must be some for each all the same to train on.

    Returns:
        Sorted indices per role.

    Raises:
        DataError: If somebody has too few pictures.
    """
    parts: dict[str, list[Tensor]] = {role: [] for role in ROLES}
    poor: list[str] = []
    needed = ["train"] if uneven else ["train", "test", *(["validation"] if _validates(shares, given) else [])]
    for number, name in enumerate(names):
        rows = torch.nonzero(labels == number).flatten()
        generator = Run(f"split {shares.seed}").generator(name)
        divided = _divide(rows[torch.randperm(len(rows), generator=generator)], shares, given)
        if not all(len(divided[role]) for role in needed):
            poor.append(_counted(name, divided, given))
        for role, some in divided.items():
            parts[role].append(some)
    if poor or not len(names):
        raise _too_few(poor, given)
    return {role: torch.cat(some).sort().values for role, some in parts.items()}


def _validates(shares: Shares, given: Sequence[str] | None) -> bool:
    """Whether there is a validation split."""
    return shares.validation > 0 or (given is not None and "validation" in given)


def _divide(rows: Tensor, shares: Shares, given: Sequence[str] | None) -> dict[str, Tensor]:
    """One person's shuffled rows by role."""
    if given is None:
        test, rest = _cut(rows, shares.test)
        validation = rest[:0]
    else:
        test, validation, rest = (_of(role, rows, given) for role in ("test", "validation", "train"))
    if shares.validation > 0 and (given is None or "validation" not in given):
        validation, rest = _cut(rest, shares.validation)
    return {"train": rest, "validation": validation, "test": test}


def _cut(rows: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The first ``share`` of the rows, at least one, and the others."""
    count = max(1, int(len(rows) * share + 0.5))
    return rows[:count], rows[count:]


def _of(role: str, rows: Tensor, given: Sequence[str]) -> Tensor:
    return rows[torch.tensor([given[row] == role for row in rows.tolist()], dtype=torch.bool)]


def _counted(name: str, divided: Mapping[str, Tensor], given: Sequence[str] | None) -> str:
    total = sum(len(some) for some in divided.values())
    if given is None:
        return f"{name}: {total}"
    return f"{name}: {total} ({', '.join(f'{role} {len(some)}' for role, some in divided.items())})"


def _too_few(poor: Sequence[str], given: Sequence[str] | None) -> DataError:
    if not poor:
        return DataError("there is no private person", "at least one person with 3 pictures or more")
    if given is not None:
        own = "validation" in given
        return DataError(
            f"{len(poor)} classes lack pictures in a split that the CSV prescribes: {listed(poor)}",
            f"for each class {'train, validation and test' if own else 'two pictures of train and one of test'}",
            "correct the splits, or drop these classes; where no line says validation, it is carved from train",
        )
    return DataError(
        f"too few images in {len(poor)} classes: {listed(poor)}",
        "at least 3 images per class, identical copies counted once: one each to train on, to select on and to test on "
        "(2 with validation = 0)",
        "add images, drop these classes (folder: min_images), or lower the test and validation shares",
    )


def assemble(
    private: Pictures,
    public: Pictures,
    shares: Shares,
    *,
    publishable: bool,
    given: Sequence[str] | None = None,
    published: bool = False,
    apart: str = "",
    remarks: Sequence[Remark] = (),
) -> Data:
    """Leaves copies out, splits the private pictures, requires the people disjoint and computes the checksum.

    Args:
        private: Pictures of the private people, all of them named.
        public: Pictures of other people.
        shares: How to split.
        publishable: Whether pictures may be shown on a page.
        given: A role for each private picture, if it is prescribed.
        published: Whether these are somebody's published lists, which nobody here can correct. Then people may have no
            picture to validate or test on where roles are given, and what is doubtful is left out and counted: copies
            with different roles, pictures of two people or of both sides.
        apart: How the data set was made so that nobody is on both sides, in words; empty if only names can tell.
        remarks: What lies beside the pictures and was not used.

    Raises:
        DataError: If somebody has too few pictures, names differ in spelling only, a picture is of two people or in
            two splits, or private people or pictures are among the public ones.
    """
    shared: tuple[Remark, ...] = ()
    if published:
        others, shared = without_private(public, private)
        public = public[others] if shared else public
    disjoint = require_disjoint(private, public, apart)
    kept, copies = without_copies(private, "private", given, published=published)
    shown, more = without_copies(public, "public")
    if copies:
        private, given = private[kept], given and [given[row] for row in kept.tolist()]
    if more:
        public = public[shown]
    rows = stratify(private.labels, private.names, shares, given, uneven=published and given is not None)
    both = Images(private.pixels, private.labels)
    parts = {**{role: both[index] for role, index in rows.items()}, "public": Images(public.pixels, public.labels)}
    return Data(
        **parts,
        names=private.names,
        checksum=_checksum(parts, private.names),
        disjoint=disjoint,
        publishable=publishable,
        anchors=None,  # a data set that knows them adds them
        remarks=(*remarks, *shared, *copies, *more),
    )


def _checksum(parts: Mapping[str, Images], names: Sequence[str]) -> str:
    """Sha256 over 8-bit pixels and labels of all parts, their shapes, and the names."""
    total = hashlib.sha256()
    for part in PARTS:
        images = parts[part]
        total.update(f"{part}{(len(images), *images.shape)}".encode())
        for rows in torch.arange(len(images)).split(CHUNK):
            total.update(images.levels(rows).contiguous().numpy().data)
        total.update(images.labels.contiguous().numpy().data)
    total.update("\0".join(names).encode())
    return total.hexdigest()


def to_tensors(data: Data) -> dict[str, Tensor]:
    """Labels, anchors where they are known, and pictures as 8-bit pixels, for the store; but see ``to_pictures``."""
    tensors = {f"{part}.labels": images.labels for part, images in _parts(data)}
    tensors |= {f"{part}.pixels": images.levels(slice(None)) for part, images in _parts(data) if not _many(images)}
    return tensors if data.anchors is None else {**tensors, "anchors": to_uint8(data.anchors)}


def to_pictures(data: Data) -> dict[str, Chosen]:
    """The pixels of those parts that are too many to be in memory at once."""
    return {f"{part}.pixels": kept for part, images in _parts(data) if (kept := _many(images))}


def _parts(data: Data) -> Iterator[tuple[str, Images]]:
    return ((part, getattr(data, part)) for part in PARTS)


def _many(images: Images) -> Chosen | None:
    kept = images.stored
    few = isinstance(kept, Tensor) or kept.dtype != torch.uint8 or (kept.held and kept.nbytes <= eight_bit.HELD)
    return None if few else kept  # type: ignore[return-value]


def to_meta(data: Data) -> dict[str, Any]:
    """Everything else about the data set, as JSON has it."""
    return {
        "names": list(data.names),
        "checksum": data.checksum,
        "disjoint": data.disjoint,
        "publishable": data.publishable,
    }


def from_tensors(
    tensors: Mapping[str, Tensor], meta: Mapping[str, Any], pictures: Mapping[str, Stored] | None = None
) -> Data:
    """What the other three took apart, exactly, but for the remarks, which nobody computes with."""
    pixels: dict[str, Stored] = {**tensors, **(pictures or {})}
    parts = {part: Images(pixels[f"{part}.pixels"], tensors[f"{part}.labels"]) for part in PARTS}
    return Data(
        **parts,
        names=tuple(meta["names"]),
        checksum=meta["checksum"],
        disjoint=meta["disjoint"],
        publishable=meta["publishable"],
        anchors=to_float(tensors["anchors"]) if "anchors" in tensors else None,
        remarks=(),
    )
