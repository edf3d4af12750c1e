"""Where the lists and pictures of CelebA lie in the copies that are around, and what the official lists say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.data import wordlist
from unveil.harness.data.names import shown
from unveil.harness.words.errors import DataError, listed

FOLDERS = ("", "Anno", "Eval", "Img", "celeba")
IDENTITIES, PARTITION = "identity_CelebA.txt", "list_eval_partition.txt"
PARTITIONS = ("train", "validation", "test")
PACKED = (".zip", ".7z", ".7z.001", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class CelebAFiles:
    """A copy of CelebA.

    Attributes:
        root: Its folder.
        where: Where people get it, for messages.
    """

    root: Path
    where: str

    def identities(self, *, needed: bool = True) -> dict[str, int]:
        """Who is on each picture, by what it is called without its ending; empty where nobody knows and need not."""
        if not needed and self.find(IDENTITIES) is None:
            return {}
        file = self._list(IDENTITIES)
        lines = wordlist.read(file, 2)
        known = {line.stem: who for line, who in zip(lines, wordlist.numbers(file, lines), strict=True)}
        if self.find(PARTITION) is not None:
            _require_alike(known, self.partition("all"))
        return known

    def partition(self, part: str) -> set[str]:
        """The pictures of a part of the official partition."""
        file = self._list(PARTITION)
        lines = wordlist.read(file, 2)
        parts = zip(lines, wordlist.numbers(file, lines, most=2), strict=True)
        return {line.stem for line, number in parts if part in ("all", PARTITIONS[number])}

    def find(self, name: str) -> Path | None:
        """A list or folder, wherever it lies in the copies that are around."""
        places = (self.root / folder / name for folder in FOLDERS)
        return next((place for place in places if place.exists()), None)

    def _list(self, name: str) -> Path:
        if (found := self.find(name)) is None:
            raise DataError(
                f"{name} is not in {shown(self.root)}, nor in {', '.join(filter(None, FOLDERS))} there",
                "the official list, as it comes with CelebA",
                f"get it ({self.where})",
            )
        return found

    def folder(self, pictures: str) -> Path:
        """The folder with the pictures, also where it lies in one of the same name, as some archives unpack."""
        found = self.find(pictures)
        if found is not None and found.is_dir():
            return found / pictures if (found / pictures).is_dir() else found
        packed = next((file for end in PACKED if (file := self.find(pictures + end))), None)
        raise DataError(
            f"there is no folder {pictures} in {shown(self.root)}"
            + (f", but {shown(packed.name)}, which is not opened" if packed else ""),
            "the aligned pictures 000001.jpg to 202599.jpg, or PNGs of the same names",
            "unpack it there" if packed else f"get them ({self.where})",
        )


def _require_alike(known: Mapping[str, int], partition: set[str]) -> None:
    odd = sorted(known.keys() ^ partition)
    if odd:
        raise DataError(
            f"identity_CelebA.txt and list_eval_partition.txt do not name the same pictures: {listed(odd)}",
            "both as they come with CelebA",
            "get them anew",
        )
