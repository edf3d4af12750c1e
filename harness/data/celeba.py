"""CelebA: 10,177 people on 202,599 aligned pictures, by its official lists or by the lists that publications share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from unveil.harness.assets.fetch import sha256
from unveil.harness.data import wordlist
from unveil.harness.data.celeba_files import IDENTITIES, CelebAFiles
from unveil.harness.data.cuts import Cut, Fixed, whole
from unveil.harness.data.listing import Entry
from unveil.harness.data.names import shown
from unveil.harness.data.published import Published
from unveil.harness.data.selection import Selection, pictures_in, require_none_missing
from unveil.harness.words.account import remark
from unveil.harness.words.errors import DataError, PluginError, listed
from unveil.harness.words.spec import LocalPath

WIDTH, HEIGHT = 178, 218  # of an aligned picture
# Beginnings of the md5 sums of the lists that come with PLG-MI, which GMI, KEDMI, LOMMA, BiDO and TL-DMI share.
PUBLISHED_LISTS = {"train_list": "f4710b40", "test_list": "7b3504a4", "public_list": "d9f5bdf5"}


Start = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=16)]


@dataclass(frozen=True)
class CelebA(Published):
    """CelebA with the crop and the people of the model-inversion papers; you bring the pictures, nothing is downloaded.

    Its folder holds ``identity_CelebA.txt``, ``list_eval_partition.txt`` and the aligned pictures in
    ``img_align_celeba/``, or has them in ``Anno/``, ``Eval/`` and ``Img/`` as the publisher packs them; converted to
    PNG they are found, too. The private people are those with most pictures, as in Plug & Play Attacks; the others are
    public. The papers on 64 pixels share three list files instead (``train_list``, ``test_list``, ``public_list``):
    27,018 and 3,009 pictures of 1,000 people, and 30,000 of others.

    Pictures keep the pixels of their crop: the published box of 108 pixels, 35 from the left and 55 from the top. Each
    model brings them to its own size, 64 or 112 in the papers; an attack works at its ``resolution``.

    Attributes:
        root: The folder; where it is empty, the environment variable UNVEIL_CELEBA says it.
        people: How many people are private, those with most pictures; among equals, those who come first in the list.
            Of lists of private pictures, the first by number; other people whom they name are on no side.
        min_images: Private people have at least that many.
        public: Another data set for the public side, such as ``{ use = "ffhq", root = "..." }``; None takes CelebA's
            other people.
        max_public: Public pictures at most, drawn at random; 30,000 as published.
        size: Height and width that pictures are resized to; None keeps the crop's pixels.
        channels: 3 for colour, 1 for grey.
        split: ``drawn``: each person's pictures by the shares below. ``published``: as Plug & Play Attacks draws it
            from all pictures together, nine tenths to train on and nobody to validate on.
        test: Share of a person's pictures that go to test, where the split is drawn.
        validation: Share of the others that go to validation; 0 for none, as published: each training keeps its last
            epoch.
        seed: Seed of the splits and of ``max_public``.
        partial: Whether to use what is there of an incomplete copy.
        pictures: The folder with the pictures; another one for pictures that were cut again, with another ``crop``.
        crop: Left, top, width and height in the aligned pictures of 178 x 218 pixels; ``whole`` keeps all of each, and
            takes pictures of any size where ``size`` says what they are brought to.
        partition: Which part of the official partition the private people are from; no person is in two parts.
        train_list: List of private pictures to train on, a line each: file and number of the person.
        test_list: The same for those to test on.
        public_list: List of public pictures, a line each: file, and whatever follows. Of all three, an empty text is
            none, so that a command line can leave one out.
    """

    where: ClassVar[str] = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html: Img/img_align_celeba.zip, Anno and Eval"
    variable: ClassVar[str] = "UNVEIL_CELEBA"
    paper: ClassVar[str] = "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015"

    people: Annotated[int, Field(ge=2)] | None = 1000
    max_public: Annotated[int, Field(ge=1)] | None = 30_000
    partial: bool = False
    pictures: Annotated[str, Field(min_length=1)] = "img_align_celeba"
    crop: tuple[Start, Start, Length, Length] | Literal["whole"] = (35, 55, 108, 108)
    partition: Literal["all", "train", "validation", "test"] = "all"
    train_list: LocalPath | None = None
    test_list: LocalPath | None = None
    public_list: LocalPath | None = None

    @classmethod
    def from_plan(cls, settings: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:  # noqa: ARG003 (for others)
        """Without lists that are empty texts; see `harness.plan.settings.reshaped`."""
        return {name: value for name, value in settings.items() if value or name not in PUBLISHED_LISTS}

    def __post_init__(self) -> None:
        if (self.train_list is None) != (self.test_list is None):
            raise PluginError("one of train_list and test_list without the other", "both of them, or neither")
        if self.public_list is not None and (self.train_list is None or self.public is not None):
            raise PluginError(
                "public_list without train_list and test_list, or beside another public data set",
                "three lists that belong together, of which the public one may be left out",
            )
        if self.crop != "whole" and not (
            self.crop[0] + self.crop[2] <= WIDTH and self.crop[1] + self.crop[3] <= HEIGHT
        ):
            raise PluginError(
                f"crop = {list(self.crop)}",
                f"left, top, width and height of a box in {WIDTH} x {HEIGHT} pixels",
                "correct the crop",
            )

    def content(self) -> Mapping[str, str]:
        """As of any published data set, and hashes of the lists in place of where they lie."""
        lists = {name: sha256(Path(file)) for name in PUBLISHED_LISTS if (file := getattr(self, name))}
        return {**super().content(), **lists}

    def everybody(self) -> Selection:
        """All pictures that the identity file names.

        Raises:
            DataError: If a list or a picture is missing, or the lists do not fit each other.
        """
        return self._placed({stem: Entry(Path(), _numbered(who)) for stem, who in self._files.identities().items()})

    def chosen(self, everybody: Selection) -> list[str]:
        """The private people: those with most pictures, of the partition that is asked for."""
        if self.partition == "all":
            return super().chosen(everybody)
        inside = self._files.partition(self.partition)
        rows = [row for row, entry in enumerate(everybody.entries) if entry.file.stem in inside]
        return super().chosen(everybody.at(rows))

    def order(self, private: Selection) -> Sequence[str]:
        """Class order as published: those with most pictures first; with lists, by the numbers in them."""
        return super().order(private) if self.train_list else super().chosen(private)

    def apart(self) -> str:
        """How nobody is on both sides, in words."""
        if self.public is not None or self._files.find(IDENTITIES) is None:
            return ""
        return "CelebA's identity file gives the public pictures to other people"

    def sides(self) -> tuple[Selection, Selection]:
        """Private and public pictures."""
        return self._by_lists() if self.train_list else super().sides()

    def preflight(self) -> Sequence[str]:
        """Says which of the lists are not those that the publications share.

        Raises:
            DataError: If one cannot be read.
        """
        given = {name: getattr(self, name) for name in PUBLISHED_LISTS}
        return [
            f"{name} is not the list that the publications share"
            for name, file in given.items()
            if file and not _md5(Path(file)).startswith(PUBLISHED_LISTS[name])
        ]

    @property
    def _files(self) -> CelebAFiles:
        return CelebAFiles(self.place(), self.where)

    def _by_lists(self) -> tuple[Selection, Selection]:
        """As the three published lists have it."""
        own = self._listed()
        identities = self._files.identities(needed=self.public is None and self.public_list is None)
        _require_one_identity(own, identities)
        others = {} if self.public else self._beside(own, identities)
        both = self._placed(own | others)
        first = set(sorted({entry.person for entry in own.values()})[: self.people])
        private = both.at([row for row, entry in enumerate(both.entries) if entry.split and entry.person in first])
        if self.public:
            return private, self._public_side(private, private)
        people = {identities[stem] for stem in own if stem in identities}
        rows = [row for row, entry in enumerate(both.entries) if not entry.split]
        theirs = [row for row in rows if identities.get(both.entries[row].file.stem) in people]
        told = remark("public", "pictures of people who are private, by the identity file", both.called(theirs))
        public = replace(both.at(sorted({*rows} - {*theirs})), remarks=()).saying(told)
        return private, self._drawn(public, private)

    def _listed(self) -> dict[str, Entry]:
        """The private pictures of the lists, by what they are called without their endings."""
        found: dict[str, Entry] = {}
        for role, file in (("train", Path(self.train_list or "")), ("test", Path(self.test_list or ""))):
            lines = wordlist.read(file, 2)
            if both := [line.picture for line in lines if line.stem in found]:
                raise DataError(
                    f"{shown(file)} lists {len(both)} pictures that train_list has, too: {listed(both)}",
                    "nothing that is tested on among what is trained on",
                    "correct the lists",
                )
            people = wordlist.numbers(file, lines)
            found |= {one.stem: Entry(Path(), f"label {who:04d}", role) for one, who in zip(lines, people, strict=True)}
        return found

    def _beside(self, own: Mapping[str, Entry], identities: Mapping[str, int]) -> dict[str, Entry]:
        """The public pictures of the lists: those of the public one, else all others."""
        if self.public_list is None:
            named = [stem for stem in identities if stem not in own]
        else:
            named = [line.stem for line in wordlist.read(Path(self.public_list), 1, more=True)]
        if both := [stem for stem in named if stem in own]:
            raise DataError(
                f"{shown(str(self.public_list))} lists {len(both)} pictures that are private: {listed(both)}",
                "other pictures, of other people",
                "correct the lists",
            )
        return {stem: Entry(Path(), _numbered(identities[stem]) if stem in identities else "") for stem in named}

    def _placed(self, wanted: Mapping[str, Entry]) -> Selection:
        """Entries with their files, of which none may be missing; what else lies there is remarked on."""
        at = self._files.folder(self.pictures)
        there, others = pictures_in(at)
        files = {Path(name).stem: file for name, file in there.items()}
        gone = [stem for stem in wanted if stem not in files]
        told = require_none_missing(gone, "listed pictures", at, self.where, partial=self.partial)
        beyond = [shown(file.name) for stem, file in files.items() if stem not in wanted]
        entries = tuple(replace(entry, file=files[stem]) for stem, entry in wanted.items() if stem in files)
        cut, shape = self._cut()
        found = Selection(at, entries, (cut,) * len(entries), shape, told)
        return found.saying(
            remark("private", "pictures that the lists do not name", beyond),
            remark("private", "other files and folders beside the pictures", others),
        )

    def _cut(self) -> tuple[Cut, tuple[int, int]]:
        """What is kept of each picture, and the height and width that it is brought to."""
        square = None if self.size is None else (self.size, self.size)
        if self.crop == "whole":
            aligned = Fixed((0, 0, WIDTH, HEIGHT), WIDTH, HEIGHT)
            return (whole, square) if square else (aligned, (HEIGHT, WIDTH))
        left, top, width, height = self.crop
        return Fixed((left, top, left + width, top + height), WIDTH, HEIGHT), square or (height, width)


def _numbered(who: int) -> str:
    return f"{who:05d}"


def _md5(file: Path) -> str:
    try:
        return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise DataError(f"{shown(file)} cannot be read: {error.strerror}", "a list", "check the path") from error


def _require_one_identity(own: Mapping[str, Entry], identities: Mapping[str, int]) -> None:
    """Refuses lists that give several people one number, or one person several, as those of another data set would."""
    pairs = {(entry.person, identities[stem]) for stem, entry in own.items() if stem in identities}
    counts = [Counter(pair[side] for pair in pairs) for side in (0, 1)]
    torn = [str(who) for count in counts for who, times in count.items() if times > 1]
    if torn:
        raise DataError(
            f"the lists and the identity file do not agree on who is who: {listed(torn)}",
            "one identity for each number in the lists",
            "are these lists for CelebA?",
        )
