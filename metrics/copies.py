"""Whether an attack returned private pictures themselves, which no attack is ever given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.types import Data, Direction, Evidence, Measurement, Metric
from unveil.harness.words.pixels import Stored, brought_to
from unveil.metrics.judging import per_person, reconstructions

COLUMN = "private pictures", "share", Direction.DESCRIBES, 0.0, 1.0
GRID = 16  # sides of the thumbnails that pairs are screened by
PART = 256  # reconstructions at a time
REALS = 256  # private pictures at a time


@dataclass(frozen=True)
class Copies(Metric):
    """Share of reconstructions that are a private picture, up to one of 256 grey levels (root mean square).

    Anybody's picture counts: training, validation or test. A search through a classifier gets near a person, never to
    within one grey level of a file. So a copy says that private pictures reached the attack past the target: it read
    them itself, or they are among the public pictures too. The page calls any copy a fault of the experiment, but for
    the ceiling, whose task it is to show real pictures. A cheat that changes its loot, by a shift or a mirror, is not
    found here; look at ``nearest_private`` and ``memorisation_gap``.

    Private pictures of one plain colour do not count: anybody can paint them. Where reconstructions have another size,
    the private pictures are brought to it first.
    """

    paper: ClassVar[str] = ""
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """One column."""
        fakes, data = reconstructions(evidence), evidence.data
        if fakes.shape[0] != data.train.shape[0]:
            reason = f"reconstructions of shape {fakes.shape} beside private pictures of shape {data.train.shape}"
            return [Measurement(*COLUMN, reason=reason)]
        found, thumbnails = np.zeros(len(fakes)), shrunk(fakes.stored)
        for reals in _varied(data, fakes.shape[1:]):
            found = np.maximum(found, copied(fakes.stored, thumbnails, reals))
        mean, who = per_person(found, fakes.labels.cpu().numpy())
        return [Measurement(*COLUMN, values=mean, identities=who, samples=len(fakes))]


def _varied(data: Data, shape: tuple[int, int]) -> Iterator[Tensor]:
    """All private pictures but those of one plain colour, some at a time, as whole numbers from 0 to 255.

    Args:
        data: Whose.
        shape: Height and width that they are brought to: those of the reconstructions.
    """
    for images in (data.train, data.validation, data.test):
        for rows in torch.arange(len(images)).split(REALS):
            reals = brought_to(images.levels(rows), shape).float()
            plain = (reals - reals.mean((2, 3), keepdim=True)).square().mean((1, 2, 3)) <= 1
            if not plain.all():
                yield reals[~plain]


def shrunk(pictures: Stored) -> Tensor:
    """Thumbnails ``(N, values)`` of levels ``(N, C, H, W)``: means over blocks."""
    block, parts = _block(pictures.shape), torch.arange(len(pictures)).split(PART)
    return torch.cat([F.avg_pool2d(pictures[rows].float(), block).flatten(1).double() for rows in parts])


def _block(shape: Sequence[int]) -> int:
    return max(1, min(shape[-2:]) // GRID)


def copied(fakes: Stored, thumbnails: Tensor, reals: Tensor) -> NDArray[np.float64]:
    """1 where a picture differs from any other by at most one level (root mean square), else 0.

    The mean over a block errs no more than the block's pixels do, so thumbnails rule out nearly all pairs, and no
    pair wrongly.

    Args:
        fakes: Levels ``(N, C, H, W)``.
        thumbnails: Of them, as `shrunk` makes them.
        reals: Levels ``(M, C, H, W)``.

    Returns:
        ``(N,)``.

    Example:
        >>> one = torch.arange(64.0).view(1, 1, 8, 8)
        >>> some = torch.cat([one, one + 1, one + 2])
        >>> copied(some, shrunk(some), one)
        array([1., 1., 0.])
    """
    limit = reals[0].numel() / _block(reals.shape) ** 2
    found, theirs = np.zeros(len(fakes)), shrunk(reals)
    for rows in torch.arange(len(fakes)).split(PART):
        near = torch.cdist(thumbnails[rows], theirs).square() <= limit * (1 + 1e-6) + 1e-6
        for i, j in near.nonzero().tolist():
            row = int(rows[i])
            own = fakes[rows[i : i + 1]].float()[0]
            found[row] = max(found[row], float((own - reals[j]).square().mean() <= 1))
    return found
