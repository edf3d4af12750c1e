"""FaceScrub: 530 actors and actresses, as its lists and the program that fetches them leave them on a disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from unveil.harness.assets.fetch import sha256
from unveil.harness.data import table
from unveil.harness.data.cuts import Box, Share
from unveil.harness.data.listing import Entry
from unveil.harness.data.names import shown
from unveil.harness.data.parallel import in_parallel
from unveil.harness.data.published import Published
from unveil.harness.data.selection import Selection, folders_in, pictures_in
from unveil.harness.data.wordlist import whole_number
from unveil.harness.words.account import remark
from unveil.harness.words.errors import DataError, listed
from unveil.harness.words.images import Data
from unveil.harness.words.run import Run

GROUPS = ("actors", "actresses")
CROPPED = 54 / 64


@dataclass(frozen=True)
class _Listed:
    """What a list says of one face.

    Attributes:
        person: Whose it is, as folders are called.
        box: Where it is in the whole picture.
        checksum: SHA-256 of the whole picture.
    """

    person: str
    box: Box
    checksum: str


@dataclass(frozen=True)
class FaceScrub(Published):
    """FaceScrub with crop and split of the model-inversion papers; you bring the pictures, nothing is downloaded.

    Its folder holds ``actors/faces/Ann_Smith/Ann_Smith_12_34.jpeg`` and the like, or ``actors/images/Ann_Smith/
    Ann_Smith_12.jpeg`` with the whole pictures, as the known download program writes them, or a folder for each person.
    The lists ``facescrub_actors.txt`` and ``facescrub_actresses.txt`` say where in a whole picture the face is; where
    they are there, files are compared with them by name, and whole pictures by their SHA-256. Many of the listed
    addresses lead nowhere any more, so that pictures are missing is counted and no error.

    Attributes:
        root: The folder; where it is empty, the environment variable UNVEIL_FACESCRUB says it.
        people: How many people are private, those with most pictures; None takes everybody, as published, and then
            the public side is another data set.
        min_images: Private people have at least that many.
        public: Another data set for the public side, such as ``{ use = "ffhq", root = "..." }``; None takes FaceScrub's
            other people.
        max_public: Public pictures at most, drawn at random.
        size: Height and width that faces are resized to, which are all of different sizes: 64, 224 and 299 as
            published, for target or judge. Choose the largest; each model brings pictures to its own size.
        channels: 3 for colour, 1 for grey.
        split: ``drawn``: each person's pictures by the shares below. ``published``: as Plug & Play Attacks draws it
            from all pictures together, nine tenths to train on and nobody to validate on.
        test: Share of a person's pictures that go to test, where the split is drawn.
        validation: Share of the others that go to validation; 0 for none, as published: each training keeps its last
            epoch.
        seed: Seed of the splits and of ``max_public``.
        group: Actors, actresses, or all of them; the actors are numbered first, as published.
        pictures: ``faces`` that are cut out already, or whole ``images``, which the lists say the faces in.
        crop: Share of a face's width and height that is kept, in the centre: 54/64 as published for 64 pixels, 1 as
            published for 224.
    """

    where: ClassVar[str] = (
        "http://vintage.winklerbros.net/facescrub.html: the lists, on request, with what fetches them"
    )
    variable: ClassVar[str] = "UNVEIL_FACESCRUB"
    paper: ClassVar[str] = "Ng and Winkler, A data-driven approach to cleaning large face datasets, ICIP 2014"

    size: Annotated[int, Field(ge=16, le=1024)] = 64
    group: Literal["all", "actors", "actresses"] = "all"
    pictures: Literal["faces", "images"] = "faces"
    crop: Annotated[float, Field(gt=0, le=1)] = CROPPED

    def load(self, run: Run) -> Data:
        """Reads the pictures; whole ones are compared with the checksums in the lists first.

        Raises:
            DataError: If pictures are other ones than the lists say, and as for any data set.
        """
        if self.pictures == "images":
            _require_the_same(self.sides()[0], self._lists())
        return super().load(run)

    def order(self, private: Selection) -> Sequence[str]:
        """Actors first, as published."""
        return list(dict.fromkeys(entry.person for entry in private.entries))

    def everybody(self) -> Selection:
        """All pictures of the group's people that lie there, actors first.

        Raises:
            DataError: If there is none, or none that the lists know.
        """
        root, lists = self.place(), self._lists()
        entries: list[Entry] = []
        beyond: list[Entry] = []
        others: list[str] = []
        for group, folder in self._people(root, lists):
            there, rest = pictures_in(folder)
            others += [f"{shown(folder.name)}/{name}" for name in rest]
            known = lists.get(group)
            for file in there.values():
                unknown = known is not None and file.stem not in known
                (beyond if unknown else entries).append(Entry(file, _plain(shown(folder.name)), written=group))
        if not entries:
            raise self._none(root, beyond)
        boxes = [self._box(lists, entry) for entry in entries]
        found = Selection(
            root, tuple(entries), tuple(Share(self.crop, box=box) for box in boxes), (self.size, self.size)
        )
        stems = {entry.file.stem for entry in entries}
        gone = [stem for group in self._groups for stem in lists.get(group, {}) if stem not in stems]
        return found.saying(
            remark("private", "listed pictures that are not there", gone),
            remark("private", "pictures that the lists do not name", [shown(e.file.name) for e in beyond]),
            remark("private", "other files and folders beside the pictures", others),
        )

    @property
    def _groups(self) -> tuple[str, ...]:
        return GROUPS if self.group == "all" else (self.group,)

    def _lists(self) -> dict[str, dict[str, _Listed]]:
        """What the lists that are there say, by group and by what a picture is called without its ending."""
        root = self.place()
        found = {group: read_list(file, self.pictures) for group in GROUPS if (file := _list(root, group)) is not None}
        gone = [f"facescrub_{group}.txt" for group in self._groups if group not in found]
        if gone and self.pictures == "images":
            raise DataError(
                f"{' and '.join(gone)} is not in {shown(root)}: it alone says where the faces in whole pictures are",
                "the lists of FaceScrub beside the pictures",
                f'get them ({self.where}), or set pictures = "faces" for faces that are cut out',
            )
        return found

    def _people(self, root: Path, lists: Mapping[str, Mapping[str, _Listed]]) -> list[tuple[str, Path]]:
        """The folder of each person of the group, and whether they are actors or actresses, if that is known."""
        there = {group: root / group for group in self._groups if (root / group).is_dir()}
        if there:
            if gone := [group for group in self._groups if group not in there]:
                raise DataError(
                    f"there is no folder {' and '.join(gone)} in {shown(root)}",
                    " and ".join(self._groups),
                    f'get it ({self.where}), or set group = "{next(iter(there))}"',
                )
            return [(group, one) for group, at in there.items() for one in folders_in(self._inner(at))]
        named = {entry.person: group for group, known in lists.items() for entry in known.values()}
        if not named and self.group != "all":
            raise DataError(
                f"nothing in {shown(root)} says who is among the {self.group}",
                f"the folder {self.group}, or the lists",
                'set group = "all"',
            )
        folders = [(named.get(_plain(one.name), ""), one) for one in folders_in(self._inner(root))]
        return sorted((pair for pair in folders if not named or pair[0] in self._groups), key=_actors_first)

    def _inner(self, at: Path) -> Path:
        """The folder of the faces or of the whole pictures, where there is one for each."""
        other = "images" if self.pictures == "faces" else "faces"
        if (at / self.pictures).is_dir():
            return at / self.pictures
        if (at / other).is_dir():
            raise DataError(
                f"there is no folder {self.pictures} in {shown(at)}, but {other}",
                f"the {self.pictures}",
                f'set pictures = "{other}", or get the {self.pictures} ({self.where})',
            )
        return at

    def _box(self, lists: Mapping[str, Mapping[str, _Listed]], entry: Entry) -> Box | None:
        """Where the face is in a whole picture; None where it is cut out already."""
        return lists[entry.written][entry.file.stem].box if self.pictures == "images" else None

    def _none(self, root: Path, beyond: Sequence[Entry]) -> DataError:
        """The error for a folder without a picture to use."""
        if beyond:
            names = [shown(entry.file.name) for entry in beyond]
            return DataError(
                f"none of {len(beyond)} pictures in {shown(root)} is called as the lists have it: {listed(names)}",
                "Ann_Smith_12_34.jpeg for the face 34 in picture 12, Ann_Smith_12.jpeg for the whole picture",
                "take the lists away, if all pictures in a person's folder are to be used as they are",
            )
        return DataError(
            f"there is no picture of a person in {shown(root)}",
            "actors/faces/Ann_Smith/Ann_Smith_12_34.jpeg and the like, or a folder for each person",
            f"check the path, or get them ({self.where})",
        )


def _actors_first(pair: tuple[str, Path]) -> tuple[str, str]:
    return pair[0], pair[1].name


def _plain(name: str) -> str:
    """A person as folders are called."""
    return name.replace(" ", "_")


def _list(root: Path, group: str) -> Path | None:
    """The list of a group, wherever it lies."""
    name = f"facescrub_{group}.txt"
    return next((file for file in (root / name, root / group / name) if file.is_file()), None)


def read_list(file: Path, pictures: str) -> dict[str, _Listed]:
    """What a list says, by what a picture is called without its ending."""
    known = table.read(file, "image_id")
    name, image, face, bbox, checksum = (known.column(c) for c in ("name", "image_id", "face_id", "bbox", "sha256"))
    found: dict[str, _Listed] = {}
    for row in known.rows:
        person = _plain(known.value(row, name).strip())
        ids = [image, face] if pictures == "faces" else [image]
        stem = "_".join([person, *(known.value(row, one).strip() for one in ids)])
        box = _parsed(file, row.line, known.value(row, bbox))
        found.setdefault(stem, _Listed(person, box, known.value(row, checksum).strip().lower()))
    return found


def _parsed(file: Path, line: int, text: str) -> Box:
    numbers = [whole_number(number.strip()) for number in text.split(",")]
    found = [number for number in numbers if number is not None]
    if len(numbers) != 4 or len(found) != 4:
        raise DataError(
            f"{shown(file)}, line {line}: bbox {text[:40]!r}",
            "left, top, right and bottom in pixels, such as 113,137,294,318",
            "get the list anew",
        )
    left, top, right, bottom = found
    return left, top, right, bottom


def _require_the_same(pictures: Selection, lists: Mapping[str, Mapping[str, _Listed]]) -> None:
    """Refuses whole pictures that are not those which were listed: what an address shows may have changed."""
    files = [entry.file for entry in pictures.entries]
    told = zip(pictures.entries, in_parallel(_hash, files, each=2), strict=True)
    wrong = [
        shown(e.file.name)
        for e, found in told
        if (wanted := lists[e.written][e.file.stem].checksum) and found != wanted
    ]
    if wrong:
        raise DataError(
            f"{len(wrong)} pictures are not those that FaceScrub lists, by their SHA-256: {listed(wrong)}",
            "the pictures as they were when the lists were made",
            "remove them, or get them anew",
        )


def _hash(row: int, file: Path) -> str:  # noqa: ARG001 (as all that is done in parallel)
    return sha256(file)
