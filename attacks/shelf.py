"""Pictures that a search finishes part by part, where nothing smaller is left of which they could be drawn again."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from unveil.harness.types import Run
from unveil.harness.words import pixels
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.gathering import rounded


class Shelf:
    """Finished pictures. Few go with the search's state; many are laid by with 8 bits, a file for each part.

    Args:
        run: Where they are laid by.
        name: What they are called there.
        count: Pictures of all parts.
    """

    def __init__(self, run: Run, name: str, count: int) -> None:
        self._run, self._name, self._count = run, name, count

    def takes(self, part: int, x: Tensor) -> bool:
        """Lays by the pictures ``(n, C, H, W)`` in [0, 1] of a part, if all together are many; says whether it did.

        Raises:
            StoreError: If the disk is full.
            UnveilError: If pixels are not finite.
        """
        if self._run.scratch is None or 4 * self._count * x[0].numel() <= pixels.HELD:
            return False
        eight_bit = rounded(x.detach().clamp(0, 1).float().cpu(), self._count)
        self._run.lay_by(self._called(part), {"pixels": eight_bit})
        return True

    def has(self, part: int) -> bool:
        """Whether the pictures of a part are there, whole."""
        return self._run.laid_by(self._called(part)) is not None

    def parts(self, count: int) -> Iterator[Tensor]:
        """The pictures of so many parts, with 8 bits.

        Raises:
            UnveilError: If some are gone.
        """
        for part in range(count):
            found = self._run.laid_by(self._called(part))
            if found is None:
                raise gone(part)
            pictures: Tensor = found["pixels"]
            yield pictures

    def _called(self, part: int) -> str:
        return f"{self._name} {part}"


def gone(part: int) -> UnveilError:
    """Of a part that was finished, whose pictures cannot be read any more."""
    return UnveilError(
        f"the pictures of part {part} of a search, which were laid by in its scratch folder, are gone or damaged",
        "what was written there",
        "run the plan again: the search begins anew",
    )
