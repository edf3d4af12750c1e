"""Pictures and whose they are: what every plugin is given."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unveil.harness.words.account import Remark
from unveil.harness.words.errors import UnveilError


@dataclass(frozen=True)
class Images:
    """Pictures and whose they are.

    Attributes:
        pixels: ``(N, C, H, W)`` float32 in [0, 1].
        labels: ``(N,)`` int64; -1 where nobody knows.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or len(self.labels) != len(self.pixels):
            raise UnveilError(
                f"images of shape {tuple(self.pixels.shape)} with {len(self.labels)} labels",
                "pixels (N, C, H, W) and one label each",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Images:
        return Images(self.pixels[index], self.labels[index])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of one picture."""
        c, h, w = self.pixels.shape[1:]
        return c, h, w


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
