"""Pictures and whose they are: what every plugin is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unveil.harness.words.account import Remark
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.pixels import Chosen, Stored, chosen, to_float, to_uint8


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Images:
    """Pictures and whose they are.

    Given 8-bit pixels, or a file of them, it keeps them so: ``at`` and ``batches`` make float32 of those that are asked
    for, and a choice by ``images[index]`` copies nothing. Given float32, such as an attack's, it keeps these.

    Attributes:
        pixels: All of them ``(N, C, H, W)`` as float32 in [0, 1]. Of 8-bit pictures they are made when somebody asks
            and kept from then on, four bytes for each of theirs: of many pictures, ask ``at`` or ``batches`` instead.
        labels: ``(N,)`` int64; -1 where nobody knows.
    """

    pixels: Tensor
    labels: Tensor

    def __init__(self, pixels: Stored, labels: Tensor) -> None:
        if len(pixels.shape) != 4 or len(labels) != len(pixels):
            raise UnveilError(
                f"images of shape {tuple(pixels.shape)} with {len(labels)} labels",
                "pixels (N, C, H, W) and one label each",
            )
        if isinstance(pixels, Tensor) and pixels.dtype != torch.uint8:
            kept: Tensor | Chosen = pixels
            object.__setattr__(self, "pixels", pixels)
        else:
            kept = chosen(pixels)
        object.__setattr__(self, "_kept", kept)
        object.__setattr__(self, "labels", labels)

    if TYPE_CHECKING:
        _kept: Tensor | Chosen  # no field: it is what fields are made of
    else:

        def __getattr__(self, name: str) -> Tensor:
            """``pixels``, where nobody has asked for them yet."""
            if name != "pixels":
                raise AttributeError(f"Images have no {name!r}")
            object.__setattr__(self, "pixels", self.at(slice(None)))
            return self.pixels

    def __repr__(self) -> str:
        return f"Images of shape {tuple(self._kept.shape)}, {self._kept.dtype}"

    @property
    def stored(self) -> Tensor | Chosen:
        """As they are kept: float32 as they were given, or 8 bits a value."""
        return self._kept

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of one picture."""
        c, h, w = self._kept.shape[1:]
        return c, h, w

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Images:
        kept = self._kept[index] if isinstance(self._kept, Tensor) else self._kept.choose(index)
        return Images(kept, self.labels[index])

    def at(self, index: Tensor | slice) -> Tensor:
        """Some pictures ``(n, C, H, W)`` as float32 in [0, 1]: the same numbers as ``pixels[index]``."""
        found = self._kept[index]
        return found if found.is_floating_point() else to_float(found)

    def levels(self, index: Tensor | slice) -> Tensor:
        """Some pictures ``(n, C, H, W)`` as uint8, rounded where they were not."""
        found = self._kept[index]
        return to_uint8(found) if found.is_floating_point() else found

    def batches(self, size: int) -> Iterator[Tensor]:
        """All pictures in their order, so many at a time ``(n, C, H, W)``, as float32 in [0, 1]."""
        for start in range(0, len(self), size):
            yield self.at(slice(start, start + size))

    def labelled(self, labels: Tensor) -> Images:
        """The same pictures with other labels ``(N,)``; nothing is copied."""
        return Images(self._kept, labels)


@dataclass(frozen=True)
class Data:
    """A private data set in three splits, and public pictures of other people.

    Attributes:
        train: Private pictures that targets learn from.
        validation: Private pictures that models are selected on.
        test: Private pictures nobody trains or selects on.
        public: What an attacker may have. Labels number the public people where they are known, else -1.
        names: Name of each private class.
        checksum: Hash of all pixels and labels.
        disjoint: How it is known that no private person is among the public ones.
        publishable: Whether pictures from this data set, and reconstructions of them, may be shown on a page.
        anchors: What each private person looks like at heart ``(classes, C, H, W)`` float32 in [0, 1] with 256 levels,
            in the order of the labels; None where nobody knows, as for photographs. For judging only.
        remarks: What lies beside these pictures and was not used, by reason.
    """

    train: Images
    validation: Images
    test: Images
    public: Images
    names: tuple[str, ...]
    checksum: str
    disjoint: str
    publishable: bool = False
    anchors: Tensor | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def classes(self) -> int:
        """Number of private people."""
        return len(self.names)
