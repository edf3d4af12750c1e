"""What data sets that publications use have in common: who is private, who is public, and the published split."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from unveil.harness.data.listing import folder
from unveil.harness.data.names import shown
from unveil.harness.data.selection import Selection, public_side
from unveil.harness.data.splits import Shares, assemble
from unveil.harness.words.account import Remark, remark
from unveil.harness.words.errors import DataError
from unveil.harness.words.images import Data
from unveil.harness.words.run import Run
from unveil.harness.words.spec import HeldData, LocalPath

SEED, TRAINS = 42, 0.9  # of the split that Plug & Play Attacks and those who follow it draw (numpy's generator)


@dataclass(frozen=True)
class Published(ABC):
    """A data set of people whom somebody has named or numbered. The settings are described where they are used."""

    where: ClassVar[str]
    variable: ClassVar[str]

    root: LocalPath = ""
    people: Annotated[int, Field(ge=2)] | None = None
    min_images: Annotated[int, Field(ge=2)] = 3
    public: HeldData | None = None
    max_public: Annotated[int, Field(ge=1)] | None = None
    size: Annotated[int, Field(ge=16, le=1024)] | None = None
    channels: Literal[1, 3] = 3
    split: Literal["drawn", "published"] = "drawn"
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    @abstractmethod
    def everybody(self) -> Selection:
        """All pictures of the data set that show somebody known, in its own order, and what is kept of each."""

    def content(self) -> Mapping[str, str]:
        """Hashes of all pictures that are used, of who is on them, and of the public data set.

        Raises:
            DataError: If something is missing or not as it should be.
        """
        private, public = (side.checksum() for side in self.sides())
        return {"root": f"{private} {public}"} if self.public is None else {"root": private, "public": public}

    def passed_over(self) -> Sequence[Remark]:
        """What lies there and is not used, as far as one need not look into pictures.

        Raises:
            DataError: As ``content``.
        """
        private, public = self.sides()
        return (*private.remarks, *public.remarks)

    def load(self, run: Run) -> Data:
        """Reads the pictures.

        Raises:
            DataError: If lists or pictures are missing or not as they should be, or somebody is private and public.
        """
        private, public = self.sides()
        own, odd = private.decoded("private", self.channels, run, self.order(private))
        others, more = public.decoded("public", self.channels, run)
        given = [entry.split for entry in private.entries]
        return assemble(
            own,
            others,
            Shares(self.test, self.validation, self.seed),
            publishable=False,
            given=given if any(given) else None,
            published=True,
            apart=self.apart(),
            remarks=(*private.remarks, *public.remarks, *odd, *more),
        )

    def sides(self) -> tuple[Selection, Selection]:
        """Private and public pictures."""
        everybody = self.everybody()
        chosen = set(self.chosen(everybody))
        private = self._with_roles(everybody.of(chosen))
        if self.public is not None:
            rest = sorted({shown(entry.person) for entry in everybody.entries if entry.person not in chosen})
            private = private.saying(remark("private", "people who are neither private nor public", rest))
        return private, self._public_side(everybody, private)

    def apart(self) -> str:
        """How nobody is on both sides, in words; empty where only names can tell."""
        return ""

    def order(self, private: Selection) -> Sequence[str]:
        """The private people as they are numbered."""
        return sorted({entry.person for entry in private.entries})

    def chosen(self, everybody: Selection) -> list[str]:
        """The private people: those with most pictures; among equals, those who come first.

        Raises:
            DataError: If there are fewer than asked for.
        """
        counts = Counter(entry.person for entry in everybody.entries if entry.person)
        large = sorted((name for name in counts if counts[name] >= self.min_images), key=lambda name: -counts[name])
        if not large or (self.people is not None and len(large) < self.people):
            raise DataError(
                f"{len(large)} of the {len(counts)} people in {shown(self.place())} have {self.min_images} pictures "
                "or more",
                f"at least {self.people or 1}" + (", as people says" if self.people else ""),
                f"lower people or min_images, or get the whole data set ({self.where})",
            )
        return large[: self.people]

    def place(self) -> Path:
        """The folder of the data set: what the plan says, else what the environment says.

        Raises:
            DataError: If neither does, or there is no such folder.
        """
        return placed(self.root, self.variable, self.where)

    def _with_roles(self, private: Selection) -> Selection:
        """With the published split, if that is asked for."""
        if self.split == "drawn":
            return private
        shuffled = np.random.RandomState(SEED).permutation(len(private.entries))
        training = set(shuffled[: int(TRAINS * len(shuffled))].tolist())
        roles = ("train" if row in training else "test" for row in range(len(shuffled)))
        return replace(
            private,
            entries=tuple(replace(entry, split=role) for entry, role in zip(private.entries, roles, strict=True)),
        )

    def _public_side(self, everybody: Selection, private: Selection) -> Selection:
        hidden = {entry.person for entry in private.entries}
        if self.public is None:
            others = {entry.person for entry in everybody.entries} - hidden
            found = replace(everybody.of(others), remarks=())  # which stand with the private ones
        else:
            found = public_side(self.public).without(sorted(hidden))
        return self._drawn(found, private)

    def _drawn(self, found: Selection, private: Selection) -> Selection:
        """No more public pictures than asked for; some there must be."""
        if not found.entries:
            hidden = {entry.person for entry in private.entries}
            raise DataError(
                f"all {len(hidden)} people of {shown(self.place())} are private, so nobody is public",
                "pictures of other people, for the attacker to learn from",
                'lower people, or name another data set: public = { use = "ffhq" }',
            )
        source = Run(f"{type(self).__name__} {self.seed}").generator("public")
        return found.drawn(self.max_public, torch.randperm(len(found.entries), generator=source).tolist())


def placed(root: str, variable: str, where: str) -> Path:
    """The folder of a data set, as an absolute path.

    Args:
        root: What the plan says.
        variable: The environment variable that says so otherwise.
        where: Where people get the data set.

    Raises:
        DataError: If nobody says, or there is no such folder.
    """
    said = root or os.environ.get(variable, "")
    if not said:
        raise DataError(
            "nobody says where the data set lies",
            f"its folder in the setting root, or in the environment variable {variable}",
            f"get it ({where}) and say where it is; nothing is downloaded",
        )
    return folder(Path(said).expanduser())
