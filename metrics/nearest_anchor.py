"""Whether a reconstruction shows the attacked person, where the data set knows what everybody looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unveil.harness.types import Data, Direction, Evidence, Images, Measurement, Metric
from unveil.harness.words.names import TOP_1
from unveil.harness.words.pixels import brought_to
from unveil.metrics.judging import as_pictures, hits, reconstructions, share_of_pictures

NO_TRUTH = "the data set does not know what its people look like (data.anchors); `people` does"
CHUNK = 256  # pictures at a time
BLANK = 1e-6  # contrast, in units of the pixel range


@dataclass(frozen=True)
class NearestAnchor(Metric):
    """Share of reconstructions whose nearest anchor among all private people is that of the attacked person.

    The exact judge of synthetic people: an anchor is the picture that all of a person's pictures vary about, so no
    network that was trained on anything has a say. Near is the correlation of lightly blurred pixels over all
    colours, which does not mind exposure and contrast. Ties count against the attack. How many held-out private
    pictures are nearest to their own anchor stands beside it: the ceiling.

    Not scored for data sets that do not know the truth. All reconstructions count, rounded to 8 bits. If people have
    unequal numbers of them, each person's are averaged first.

    Attributes:
        blur: Standard deviation of the Gaussian in pixels of a picture 64 pixels high; 0 leaves pixels as they are.
    """

    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False
    paper: ClassVar[str] = ""

    blur: Annotated[float, Field(ge=0, le=8)] = 1.0

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Columns: top-1, and held-out private pictures right."""
        fakes, data = reconstructions(evidence), evidence.data
        return [
            self._right(TOP_1, Direction.LEAKS, fakes, data),
            self._right("held-out private right", Direction.DESCRIBES, data.test, data),
        ]

    def _right(self, column: str, direction: Direction, images: Images, data: Data) -> Measurement:
        if data.anchors is None or not len(images):
            reason = NO_TRUTH if data.anchors is None else "there is no held-out private picture"
            return Measurement(column, "share", direction, 0.0, 1.0, reason=reason)
        anchors = self._prepared(brought_to(data.anchors, images.shape[1:])).T
        own = torch.cat([self._prepared(x.cpu()) @ anchors for x in images.batches(CHUNK)])
        people = images.labels.cpu()
        right = hits(own, people, 1)
        return share_of_pictures(column, direction, right, people.numpy(), verdict=direction is Direction.LEAKS)

    def _prepared(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, C, H, W)`` to centred unit vectors ``(N, CHW)``, whose products are correlations."""
        x = blurred(as_pictures(pixels).double(), self.blur * pixels.shape[-2] / 64).flatten(1)
        x = x - x.mean(1, keepdim=True)
        x = x * (x.abs().amax(1, keepdim=True) > BLANK)  # what rounding leaves of a blank picture is nobody's face
        return F.normalize(x)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``(N, C, H, W)`` with a deviation of ``sigma`` pixels, cut at three; edges are repeated."""
    if sigma == 0:
        return x
    reach = min(round(3 * sigma) or 1, min(x.shape[-2:]) - 1)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1, dtype=x.dtype) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    n, c, h, w = x.shape
    rows = F.conv2d(F.pad(x.reshape(n * c, 1, h, w), (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    both = F.conv2d(F.pad(rows, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    return both.reshape(n, c, h, w)
