"""FFHQ: 70,000 pictures of nobody known, the public side of many publications."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NoReturn

from pydantic import Field

from unveil.harness.data.cuts import Share, extent
from unveil.harness.data.images import size_of
from unveil.harness.data.listing import Entry
from unveil.harness.data.names import shown
from unveil.harness.data.published import placed
from unveil.harness.data.selection import Selection, pictures_in, require_none_missing
from unveil.harness.words.account import Remark, remark
from unveil.harness.words.errors import DataError, listed
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalPath

COUNT = 70_000
SHARD = 1000  # pictures in each of the folders 00000, 01000, ...
NAME = re.compile(r"\d{5}\.(png|jpg|jpeg|webp)", re.IGNORECASE)
CROPPED = 88 / 128


@dataclass(frozen=True)
class FFHQ:
    """Flickr-Faces-HQ as the public pictures of another data set; you bring them, nothing is downloaded.

    Nobody knows who is on its pictures, so it has no private people: name it as another's public side, such as
    ``data = { use = "celeba", public = { use = "ffhq" } }``. Its folder holds ``00000.png`` to ``69999.png``, or
    folders ``00000``, ``01000`` and so on with a thousand of them each, or has in it a folder called as ``pictures``.

    Pictures keep the pixels of their crop: the published centre of 88 pixels of a thumbnail of 128, which is 704 of the
    large ones of 1024.

    Attributes:
        root: The folder; where it is empty, the environment variable UNVEIL_FFHQ says it.
        pictures: The folder in it where there are several: ``thumbnails128x128`` or ``images1024x1024``.
        crop: Share of each picture's width and height that is kept, in the centre; 88/128 as published, 1 keeps all.
        size: Height and width that pictures are resized to; None keeps the crop's pixels.
        partial: Whether to use what is there of an incomplete copy.
    """

    where: ClassVar[str] = "https://github.com/NVlabs/ffhq-dataset: thumbnails128x128 or images1024x1024"
    variable: ClassVar[str] = "UNVEIL_FFHQ"
    public_only: ClassVar[bool] = True
    paper: ClassVar[str] = "Karras et al., A Style-Based Generator Architecture for GANs, CVPR 2019"

    root: LocalPath = ""
    pictures: Literal["thumbnails128x128", "images1024x1024"] = "thumbnails128x128"
    crop: Annotated[float, Field(gt=0, le=1)] = CROPPED
    size: Annotated[int, Field(ge=16, le=1024)] | None = None
    partial: bool = False

    def content(self) -> Mapping[str, str]:
        """Hash of the pictures.

        Raises:
            DataError: If some are missing or not as they should be.
        """
        return {"root": self.everybody().checksum()}

    def passed_over(self) -> Sequence[Remark]:
        """What lies there and is not used.

        Raises:
            DataError: As ``content``.
        """
        return self.everybody().remarks

    def load(self, run: Run) -> NoReturn:  # noqa: ARG002
        """Refuses: it has no private people.

        Raises:
            DataError: Always.
        """
        raise DataError(
            "nobody knows who is on FFHQ's pictures, so none of them can be private people's",
            "a data set of known people, with FFHQ for its public side",
            'name it there: data = { use = "celeba", public = { use = "ffhq" } }',
        )

    def everybody(self) -> Selection:
        """All its pictures, by their numbers.

        Raises:
            DataError: If some are missing, there twice, or in the wrong folder.
        """
        at = self._folder()
        found, others = _numbered(at)
        gone = [f"{number:05d}.png" for number in range(COUNT) if number not in found]
        if len(gone) == COUNT:
            raise DataError(
                f"there is no picture of FFHQ in {shown(at)}",
                "00000.png to 69999.png, or folders 00000, 01000 and so on with a thousand of them each",
                f"check the path, or get them ({self.where})",
            )
        told = require_none_missing(gone, "pictures of FFHQ", at, self.where, partial=self.partial)
        entries = tuple(Entry(file, "") for _, file in sorted(found.items()))
        side = size_of(entries[0].file)[0]
        cut = Share(self.crop, side)
        shape = extent(cut(side, side)) if self.size is None else (self.size, self.size)
        selection = Selection(at, entries, (cut,) * len(entries), shape, told)
        return selection.saying(remark("public", "files and folders that are no pictures of FFHQ", others))

    def _folder(self) -> Path:
        """The folder of the pictures: the one that is named, or the one in it."""
        at = placed(self.root, self.variable, self.where)
        return at / self.pictures if (at / self.pictures).is_dir() else at


def _numbered(at: Path) -> tuple[dict[int, Path], list[str]]:
    """The pictures in a folder and in its shards by their numbers, and what else lies there.

    Raises:
        DataError: If one is there twice, or in the shard of others.
    """
    found: dict[int, Path] = {}
    others: list[str] = []
    wrong: list[str] = []
    for folder, file in _files(at, others):
        number = int(file.name[:5])
        known = found.setdefault(number, file)
        if known != file or (folder and int(folder) != number // SHARD * SHARD):
            wrong.append(shown(file.relative_to(at).as_posix()))
    if wrong:
        raise DataError(
            f"{len(wrong)} pictures of FFHQ are there twice or in a folder of others: {listed(wrong)}",
            "each number once, such as 01234.png, or 01234.png in the folder 01000",
            "correct the folder",
        )
    return found, others


def _files(at: Path, others: list[str]) -> Iterator[tuple[str, Path]]:
    """Pictures of FFHQ with the shard that they lie in, if in one; names of all else are added to a list."""
    flat, rest = pictures_in(at)
    for name, file in flat.items():
        if NAME.fullmatch(name) and int(name[:5]) < COUNT:
            yield "", file
        else:
            others.append(shown(name))
    for shard in rest:
        if not (re.fullmatch(r"\d\d000", shard) and (at / shard).is_dir()):
            others.append(shard)
            continue
        inside, more = pictures_in(at / shard)
        yield from ((shard, file) for name, file in inside.items() if NAME.fullmatch(name) and int(name[:5]) < COUNT)
        odd = (name for name in inside if not NAME.fullmatch(name) or int(name[:5]) >= COUNT)
        others += [f"{shard}/{shown(name)}" for name in (*odd, *more)]
