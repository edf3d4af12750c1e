"""Labeled Faces in the Wild, as scikit-learn keeps it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from unveil.harness.data.cuts import Fixed
from unveil.harness.data.listing import Entry
from unveil.harness.data.names import shown
from unveil.harness.data.published import Published, placed
from unveil.harness.data.selection import Selection, folders_in, pictures_in, require_none_missing
from unveil.harness.data.wordlist import whole_number
from unveil.harness.words.account import remark
from unveil.harness.words.errors import DataError, PluginError, listed

SIDE = 250  # of each picture
PAIRS = ("pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt")
Start = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=16)]


@dataclass(frozen=True)
class LFW(Published):
    """Labeled Faces in the Wild with scikit-learn's crop; you bring the pictures, nothing is downloaded.

    Its folder holds ``lfw_funneled/Ann_Smith/Ann_Smith_0001.jpg`` and the like, as ``fetch_lfw_people`` and
    ``fetch_lfw_pairs`` leave them in ``lfw_home``, or a folder for each person. The people with most pictures are
    private, the others public. Where ``pairs.txt``, ``pairsDevTrain.txt`` and ``pairsDevTest.txt`` lie beside them,
    every picture that they name must be there; so must be the numbers from 0001 to a person's last one.

    Attributes:
        root: The folder; where it is empty, the environment variable UNVEIL_LFW says it, else scikit-learn's own place.
        people: How many people are private, those with most pictures; None takes all with ``min_images``.
        min_images: Private people have at least that many.
        public: Another data set for the public side, such as ``{ use = "ffhq", root = "..." }``; None takes the other
            people.
        max_public: Public pictures at most, drawn at random.
        size: Height and width that pictures are resized to; None keeps the crop's pixels.
        channels: 3 for colour, 1 for grey.
        split: ``drawn``: each person's pictures by the shares below. ``published``: nine tenths of all pictures
            together to train on, the others to test on, as Plug & Play Attacks splits its data sets.
        test: Share of a person's pictures that go to test, where the split is drawn.
        validation: Share of the others that go to validation; 0 for none: each training keeps its last epoch.
        seed: Seed of the splits and of ``max_public``.
        partial: Whether to use what is there of an incomplete copy.
        crop: Left, top, width and height in the pictures of 250 x 250 pixels; the default is scikit-learn's.
    """

    where: ClassVar[str] = "sklearn.datasets.fetch_lfw_people() and fetch_lfw_pairs() fetch it to lfw_home"
    variable: ClassVar[str] = "UNVEIL_LFW"
    paper: ClassVar[str] = "Huang et al., Labeled Faces in the Wild, technical report 07-49, 2007"

    min_images: Annotated[int, Field(ge=2)] = 20
    partial: bool = False
    crop: tuple[Start, Start, Length, Length] = (78, 70, 94, 125)

    def __post_init__(self) -> None:
        left, top, width, height = self.crop
        if left + width > SIDE or top + height > SIDE:
            raise PluginError(
                f"crop = {list(self.crop)}",
                f"left, top, width and height of a box in {SIDE} x {SIDE} pixels",
                "correct the crop",
            )

    def place(self) -> Path:
        """The folder of the people: what plan or environment say, else where scikit-learn keeps it, or in it."""
        home = Path(os.environ.get("SCIKIT_LEARN_DATA", "~/scikit_learn_data")).expanduser() / "lfw_home"
        usual = str(home) if self.variable not in os.environ and home.is_dir() else ""
        at = placed(self.root or usual, self.variable, self.where)
        inside = (at / "lfw_home" / "lfw_funneled", at / "lfw_funneled", at / "lfw_home" / "lfw", at / "lfw")
        return next((one for one in inside if one.is_dir()), at)

    def everybody(self) -> Selection:
        """All pictures, by person and number.

        Raises:
            DataError: If there is none, or some that must be there are missing.
        """
        at, entries, others = self.place(), [], []
        for folder in folders_in(at):
            there, rest = pictures_in(folder)
            mine = {name: file for name, file in there.items() if _number(folder.name, file.stem)}
            entries += [Entry(file, shown(folder.name)) for file in mine.values()]
            others += [f"{shown(folder.name)}/{shown(name)}" for name in sorted({*there, *rest} - {*mine})]
        if not entries:
            raise DataError(
                f"there is no picture of a person in {shown(at)}",
                "lfw_funneled/Ann_Smith/Ann_Smith_0001.jpg and the like",
                f"check the path, or get them ({self.where})",
            )
        gone = sorted(self._wanted(entries) - {entry.file.stem for entry in entries})
        told = require_none_missing(gone, "pictures of LFW", at, self.where, partial=self.partial)
        left, top, width, height = self.crop
        cut = Fixed((left, top, left + width, top + height), SIDE, SIDE)
        shape = (height, width) if self.size is None else (self.size, self.size)
        found = Selection(at, tuple(entries), (cut,) * len(entries), shape, told)
        return found.saying(remark("private", "files that are not called as pictures of their folder's person", others))

    def _wanted(self, entries: Sequence[Entry]) -> set[str]:
        """What pictures must be there are called without their endings: up to each person's last, and all in pairs."""
        last: dict[str, int] = {}
        for entry in entries:
            last[entry.person] = max(last.get(entry.person, 0), _number(entry.person, entry.file.stem))
        numbered = {_called(person, k) for person, most in last.items() for k in range(1, most + 1)}
        return numbered | {name for file in self._pairs() for name in paired(file)}

    def _pairs(self) -> list[Path]:
        at = self.place()
        beside = (folder / name for folder in (at, at.parent) for name in PAIRS)
        return [file for file in beside if file.is_file()]


def _called(person: str, number: int) -> str:
    return f"{person}_{number:04d}"


def _number(person: str, stem: str) -> int:
    """The number of a person's picture; 0 if it is not called as one."""
    found = re.fullmatch(re.escape(person) + r"_(\d{4})", stem)
    return int(found.group(1)) if found else 0


def paired(file: Path) -> Iterator[str]:
    """What the pictures in a file of pairs are called: ``name a b`` for two of one person, ``name a other b`` else.

    Raises:
        DataError: If it is no such file.
    """
    try:
        lines = [one.split("\t") for one in file.read_text(encoding="utf-8").splitlines() if one.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(file)} cannot be read: {error}", "pairs of LFW", "get the file anew") from error
    pairs = [(f[0], f[1], f[0], f[2]) if len(f) == 3 else tuple(f) for f in lines[1:]]  # the first counts them
    odd = [
        number for number, f in enumerate(pairs, 2) if len(f) != 4 or None in (whole_number(f[1]), whole_number(f[3]))
    ]
    if odd:
        raise DataError(
            f"{shown(file)}: {listed([f'line {number}' for number in odd])}",
            "a name and two numbers, or two names with a number each, separated by tabs",
            "get the file anew",
        )
    for a, i, b, j in pairs:
        yield from (_called(a, int(i)), _called(b, int(j)))
