"""Anyone's own pictures, from folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from unveil.harness.assets.fetch import sha256
from unveil.harness.data.cuts import centre, whole
from unveil.harness.data.labels import Columns, from_csv
from unveil.harness.data.listing import Entry, Listing, absolute, checksum, from_folders, relative, unnamed
from unveil.harness.data.names import shown
from unveil.harness.data.selection import Selection, public_side
from unveil.harness.data.splits import Shares, assemble
from unveil.harness.data.walk import key
from unveil.harness.words.account import Remark, remark
from unveil.harness.words.errors import DataError, listed
from unveil.harness.words.images import Data
from unveil.harness.words.run import Run
from unveil.harness.words.spec import HeldData, LocalPath, Spec


@dataclass(frozen=True)
class Folder:
    """Your own pictures: one folder per class, a private and a public root, optionally a CSV for labels and splits.

    Without a CSV the folders of the first level below ``private`` are the classes, however deep the pictures lie in
    them; below ``public`` they are the public people, and pictures that lie in no folder are of nobody known. A CSV has
    a header, one line per picture, and paths relative to its own folder; only the pictures it lists are used.
    Relative paths in settings are looked for beside the plan file, then in the current folder.

    Classes are numbered in sorted order. Pictures may differ in size, format and colour; they are turned as their EXIF
    says, laid on white if transparent, cut to the centre square and resized. A picture that cannot be read, or is all
    of one colour, is an error that names it.

    The public side may be another data set, such as ``{ use = "ffhq" }``; people whom it names as the private ones are
    left out of it.

    Everything below the roots is used or accounted for: ``unveil data PLAN`` shows what was read and what was not.
    Links are followed, and what they lead to is read once. Of identical pictures of one person the first is used.

    Attributes:
        private: Folder of the private people.
        public: Folder of other people's pictures, which the attacker may have, or another data set.
        labels: CSV of the private pictures: file, who is on it, and optionally the split (train, validation, test).
        public_labels: CSV of the public pictures: file, and optionally who is on it.
        file_column: Column with the path, in both CSVs.
        identity_column: Column with the person in the private CSV; by default the first that is there of identity,
            source_identity, person, name, label, class.
        public_identity_column: The same for the public CSV.
        split_column: Column with the split; by default ``split`` if it is there; empty draws the splits instead.
            A validation split is carved from train where the column names none.
        public_folders: Whether the folders of the first level below ``public`` are people, or shards without meaning.
            ``auto`` takes them for people, unless their names could be those of shards, such as 00000: then it asks.
        min_images: Drop private classes with fewer pictures; those that are left need 3.
        max_classes: Keep at most that many private classes, those with most pictures (ties by name).
        max_public: Keep at most that many public pictures, drawn at random.
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        crop: Whether to cut out the centre square; otherwise pictures that are not square are stretched.
        test: Share of a class's pictures that go to test, where no column says so.
        validation: Share of the others that go to validation, where no column says so; 0 for none, so that each
            training keeps its last epoch.
        seed: Seed of the splits and of ``max_public``.
        publishable: Whether the pictures, and reconstructions of them, may be shown on a page.
    """

    private: Annotated[LocalPath, Field(min_length=1)]
    public: Annotated[LocalPath, Field(min_length=1)] | HeldData
    labels: LocalPath | None = None
    public_labels: LocalPath | None = None
    file_column: Annotated[str, Field(min_length=1)] = "file"
    identity_column: str | None = None
    public_identity_column: str | None = None
    split_column: str | None = None
    public_folders: Literal["auto", "people", "shards"] = "auto"
    min_images: Annotated[int, Field(ge=1)] = 1
    max_classes: Annotated[int, Field(ge=1)] | None = None
    max_public: Annotated[int, Field(ge=1)] | None = None
    size: Annotated[int, Field(ge=16, le=1024)] = 64
    channels: Literal[1, 3] = 3
    crop: bool = True
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0
    publishable: bool = False

    paper: ClassVar[str] = ""

    def content(self) -> Mapping[str, str]:
        """Hashes of all pictures that are used, with their paths inside the roots, and of the CSVs.

        Raises:
            DataError: If a folder, a CSV or a file is not there, or it is unclear who is on a picture.
        """
        private, public = self._sides()
        found = {
            "private": checksum(relative(private.entries, private.root)),
            "public": public.checksum() if self._other else checksum(relative(public.entries, public.root)),
            "public_folders": "people" if self.public_folders == "auto" else self.public_folders,
        }
        tables = {"labels": self.labels, "public_labels": self.public_labels}
        return found | {name: sha256(Path(table)) for name, table in tables.items() if table}

    def passed_over(self) -> Sequence[Remark]:
        """What lies below the roots and is not used, as far as one need not look into pictures.

        Raises:
            DataError: As ``content``.
        """
        private, public = self._sides()
        return (*private.remarks, *public.remarks)

    def load(self, run: Run) -> Data:
        """Reads the pictures.

        Raises:
            DataError: If a folder is missing or empty, a picture cannot be read, a class has too few pictures, a CSV
                does not fit, it is unclear who is on a picture, or somebody is both private and public.
        """
        private, public = self._sides()
        given = [entry.split for entry in private.entries] if private.entries[0].split else None
        shown_private, odd = private.decoded("private", self.channels, run)
        shown_public, more = public.decoded("public", self.channels, run)
        return assemble(
            shown_private,
            shown_public,
            Shares(self.test, self.validation, self.seed),
            publishable=self.publishable,
            given=given,
            remarks=(*private.remarks, *public.remarks, *odd, *more),
        )

    @property
    def _other(self) -> Spec | None:
        """The data set that the public side is; None where it is a folder."""
        return self.public if isinstance(self.public, Spec) else None

    def _sides(self) -> tuple[Selection, Selection]:
        """What is used of both sides, after it is certain that no file is on both."""
        private = self._private()
        if self._other is not None:
            hidden = sorted({entry.person for entry in private.entries})
            others = public_side(self._other).without(hidden)
            _require_two_sides(private.entries, others.entries, "")
            return self._selection(self._kept(private.accounted("private", set())), self.private), self._drawn(others)
        public = self._public()
        _require_two_sides(private.entries, public.entries, self._nested())
        used = {key(entry.file) for entry in (*private.entries, *public.entries)}  # two CSVs may share one folder
        beside = self._selection(public.accounted("public", used), str(self.public))
        return self._selection(self._kept(private.accounted("private", used)), self.private), self._drawn(beside)

    def _selection(self, found: Listing, root: str) -> Selection:
        """Pictures with what is kept of each."""
        cut, shape = centre if self.crop else whole, (self.size, self.size)
        entries = tuple(found.entries)
        return Selection(absolute(Path(root)), entries, (cut,) * len(entries), shape, tuple(found.remarks))

    def _nested(self) -> str:
        """What is wrong with the roots, if one is in the other: two CSVs may still list different pictures."""
        private, public = (Path(root).resolve() for root in (self.private, str(self.public)))
        if private == public:
            return " (both roots are the same folder)"
        inside = {"private": private.is_relative_to(public), "public": public.is_relative_to(private)}
        return "".join(f" (the {side} root lies in the other)" for side, is_so in inside.items() if is_so)

    def _private(self) -> Listing:
        root = Path(self.private)
        if not self.labels:
            found = from_folders(root, "private")
            if not all(entry.person for entry in found.entries):
                raise unnamed(found.entries)
            return found
        columns = Columns(self.file_column, self.identity_column, self.split_column)
        return from_csv(Path(self.labels), root, columns, "private")

    def _kept(self, found: Listing) -> Listing:
        """The classes that are large enough, and no more of them than asked for."""
        counts = Counter(entry.person for entry in found.entries)
        large = sorted((name for name in counts if counts[name] >= self.min_images), key=lambda n: (-counts[n], n))
        if not large:
            name, most = counts.most_common(1)[0]
            raise DataError(
                f"none of the {len(counts)} classes in {shown(self.private)} has {self.min_images} images",
                f"at least min_images = {self.min_images}; the largest class, {name}, has {most}",
                "lower min_images, or add images",
            )
        small = sorted(counts.keys() - set(large))
        kept = set(large[: self.max_classes])
        remarks = (
            remark("private", f"people with fewer pictures than min_images = {self.min_images}", small),
            remark("private", f"people beyond max_classes = {self.max_classes}", [n for n in large if n not in kept]),
        )
        entries = [entry for entry in found.entries if entry.person in kept]
        return Listing(entries, [*found.remarks, *(one for one in remarks if one.count)])

    def _public(self) -> Listing:
        root = Path(str(self.public))
        if self.public_labels:
            columns = Columns(self.file_column, self.public_identity_column, "")
            return from_csv(Path(self.public_labels), root, columns, "public")
        return from_folders(root, "public", people=self.public_folders != "shards", sure=self.public_folders != "auto")

    def _drawn(self, found: Selection) -> Selection:
        """No more public pictures than asked for."""
        source = Run(f"folder {self.seed}").generator("public")
        return found.drawn(self.max_public, torch.randperm(len(found.entries), generator=source).tolist())


def _require_two_sides(private: Sequence[Entry], public: Sequence[Entry], nested: str) -> None:
    """Refuses a file that both sides reach: one root in the other, a link across, a line in both CSVs."""
    hidden = {key(entry.file): entry for entry in private}
    both = [(hidden[at], entry) for entry in public if (at := key(entry.file)) in hidden]
    if both:
        told = [
            shown(a.file) if a.file == b.file else f"{shown(a.file)} (on the public side {shown(b.file)})"
            for a, b in both
        ]
        raise DataError(
            f"{len(both)} files are private and public{nested}: {listed(told)}",
            "two roots that share nothing, by no link either; in one folder, two CSVs that share no picture",
            "take these pictures out of the public side",
        )
