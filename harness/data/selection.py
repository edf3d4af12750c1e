"""Pictures of a published data set: which are used, who is on them and what is kept of each."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from unveil.harness.data.cuts import Cut
from unveil.harness.data.images import Channels, decode_cut
from unveil.harness.data.listing import Entry, checksum, relative
from unveil.harness.data.names import same_as, shown
from unveil.harness.data.splits import Pictures, label
from unveil.harness.data.walk import SUFFIXES
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.words.account import Remark, Side, remark
from unveil.harness.words.errors import DataError, listed
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec


@dataclass(frozen=True)
class Selection:
    """Pictures that are used on one side.

    Attributes:
        root: The folder below which they lie, as an absolute path.
        entries: The pictures, in the data set's own order.
        cuts: What is kept of each.
        shape: Height and width that all are brought to.
        remarks: What else lies there.
    """

    root: Path
    entries: tuple[Entry, ...]
    cuts: tuple[Cut, ...]
    shape: tuple[int, int]
    remarks: tuple[Remark, ...] = ()

    def at(self, rows: Sequence[int]) -> Self:
        """Some of them, and the same remarks."""
        return replace(
            self, entries=tuple(self.entries[row] for row in rows), cuts=tuple(self.cuts[row] for row in rows)
        )

    def saying(self, *more: Remark) -> Self:
        """With more remarks, but those that count nothing."""
        return replace(self, remarks=(*self.remarks, *(one for one in more if one.count)))

    def of(self, people: set[str]) -> Self:
        """The pictures of some people."""
        return self.at([row for row, entry in enumerate(self.entries) if entry.person in people])

    def without(self, people: Sequence[str]) -> Self:
        """Without pictures of people whom another data set names, too, however it spells them."""
        known = {same_as(name) for name in people}
        theirs = [row for row, entry in enumerate(self.entries) if entry.person and same_as(entry.person) in known]
        if not theirs:
            return self
        gone, others = set(theirs), [row for row in range(len(self.entries)) if row not in set(theirs)]
        names = self.called(sorted(gone))
        return self.at(others).saying(remark("public", "pictures of people who are private, by their names", names))

    def drawn(self, most: int | None, rows: Sequence[int]) -> Self:
        """At most so many of them, in their order.

        Args:
            most: How many; None for all.
            rows: All rows in the order in which they are drawn.
        """
        if most is None or len(self.entries) <= most:
            return self
        rest = len(self.entries) - most
        beyond = Remark(side="public", what=f"pictures beyond max_public = {most}", count=rest)
        return self.at(sorted(rows[:most])).saying(beyond)

    def called(self, rows: Sequence[int]) -> list[str]:
        """What files are called in a message."""
        return [shown(self.entries[row].file.relative_to(self.root).as_posix()) for row in rows]

    def checksum(self) -> str:
        """One hash of the files, of who is on them, and of what is kept of each; not of where the folder is.

        Raises:
            DataError: If a file cannot be read.
        """
        files = relative(self.entries, self.root)
        told = [
            f"{name}\t{entry.person}\t{entry.split}\t{cut!r}"
            for name, entry, cut in zip(files, self.entries, self.cuts, strict=True)
        ]
        return hashlib.sha256("\n".join([*told, str(self.shape), checksum(files)]).encode()).hexdigest()

    def decoded(
        self, side: Side, channels: Channels, run: Run, order: Sequence[str] | None = None
    ) -> tuple[Pictures, list[Remark]]:
        """The pictures themselves, and what is special about some.

        Args:
            side: For the remarks.
            channels: 3 for colour, 1 for grey.
            run: Shows progress.
            order: The people as they are numbered; None for sorted order.

        Raises:
            DataError: If pictures cannot be read, show nothing, or are not of the size that their cut expects.
        """
        files = [entry.file for entry in self.entries]
        found = decode_cut(files, self.cuts, shape=self.shape, channels=channels, run=run)
        names = self.called(range(len(files)))
        odd = [
            remark(side, what, [names[row] for row in rows], used=True, decoded=True)
            for what, rows in sorted(found.odd.items())
        ]
        return Pictures(found.pixels, *label([entry.person for entry in self.entries], order), tuple(names)), odd


@runtime_checkable
class Public(Protocol):
    """A data set whose pictures can be the public ones of another data set."""

    def everybody(self) -> Selection:
        """All its pictures."""
        ...


def public_side(spec: Spec) -> Selection:
    """All pictures of a data set that another one names for its public side.

    Raises:
        DataError: If it cannot be one, or something of it is missing.
    """
    other = plugin_settings.make("datasets", spec, Path())
    if not isinstance(other, Public):
        raise DataError(
            f"{spec.use} cannot be the public side of another data set",
            "one that says what its pictures are, such as ffhq, celeba, facescrub or lfw",
            "choose another one",
        )
    found = other.everybody()
    return replace(found, remarks=tuple(one.model_copy(update={"side": "public"}) for one in found.remarks))


def pictures_in(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The picture files that lie in a folder itself by name, in sorted order, and all else as it can be printed.

    Raises:
        DataError: If it cannot be listed, or a picture is there in two formats.
    """
    entries = _listing(folder)
    plain = (entry for entry in entries if not entry.name.startswith("."))  # some systems leave ._0.png beside 0.png
    found = {e.name: Path(e.path) for e in plain if Path(e.name).suffix.lower() in SUFFIXES and e.is_file()}
    stems = Counter(Path(name).stem for name in found)
    if twice := [shown(name) for name in found if stems[Path(name).stem] > 1]:
        raise DataError(
            f"pictures in {shown(folder)} are there in two formats: {listed(twice)}",
            "one file for each picture",
            "remove one of each",
        )
    return found, [shown(entry.name) for entry in entries if entry.name not in found]


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, in sorted order, but hidden ones.

    Raises:
        DataError: If it cannot be listed.
    """
    return [Path(entry.path) for entry in _listing(folder) if entry.is_dir() and not entry.name.startswith(".")]


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{shown(folder)} cannot be listed: {error.strerror}", "a readable folder", "check its rights"
        ) from error


def require_none_missing(
    missing: Sequence[str], what: str, at: Path, where: str, *, partial: bool
) -> tuple[Remark, ...]:
    """Refuses a copy of a data set that is not whole, unless that is said to be meant.

    Args:
        missing: Names of what is not there.
        what: What these are, in the plural.
        at: Where they should be.
        where: Where people get the data set.
        partial: Whether it is meant.

    Returns:
        A remark, if it is meant.

    Raises:
        DataError: If something is missing and should not be.
    """
    if not missing:
        return ()
    if partial:
        return (remark("private", f"{what} that are not there", missing),)
    raise DataError(
        f"{len(missing)} {what} are not in {shown(at)}: {listed(list(missing))}",
        "all of them: with others the numbers would be those of another data set",
        f"get them ({where}), or set partial = true to use what is there",
    )
