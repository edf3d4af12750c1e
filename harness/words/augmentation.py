"""What augmentation does to pictures: each changed by numbers of its own, which are drawn in advance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from unveil.harness.words.crops import RandomCrop

GREY = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)


@dataclass(frozen=True)
class Changes:
    """What augmentation does to each picture of a batch, in the order of the attributes.

    Attributes:
        flip: Whether it is mirrored ``(N,)``.
        shift: Pixels it is moved down and right ``(N, 2)``; the edge is repeated.
        gain: What its brightness is multiplied with ``(N,)``.
        numbers: Uniform numbers ``(N, crops.NUMBERS)`` that decide what ``crop`` shows of it; None for all of it.
        jitter: What its contrast and its saturation are multiplied with, and by how much of a circle its hues are
            turned ``(N, 3)``; None where colours stay.
        crop: How it is cut.
    """

    flip: Tensor
    shift: Tensor
    gain: Tensor
    numbers: Tensor | None = None
    jitter: Tensor | None = None
    crop: RandomCrop | None = None

    def __getitem__(self, index: Tensor) -> Changes:
        numbers, jitter = (None if one is None else one[index] for one in (self.numbers, self.jitter))
        return Changes(self.flip[index], self.shift[index], self.gain[index], numbers, jitter, self.crop)

    @classmethod
    def joined(cls, parts: Sequence[Changes]) -> Changes:
        """Those of several batches, one after the other; all of one recipe."""
        names = [field.name for field in fields(cls) if isinstance(getattr(parts[0], field.name), Tensor)]
        return cls(crop=parts[0].crop, **{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def apply(self, x: Tensor) -> Tensor:
        """Changes pixels ``(N, C, H, W)`` in [0, 1]; the result is in [0, 1], too."""
        x = self._moved(x) * self.gain.to(x.device).view(-1, 1, 1, 1)
        x = x.clamp(0, 1)
        if self.crop is not None and self.numbers is not None:
            x = self.crop(x, self.numbers)
        return x if self.jitter is None else jittered(x, self.jitter.to(x.device))

    def _moved(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        flip, shift = self.flip.to(x.device), self.shift.to(x.device)
        rows = (torch.arange(h, device=x.device) - shift[:, :1]).clamp(0, h - 1)
        columns = (torch.arange(w, device=x.device) - shift[:, 1:]).clamp(0, w - 1)
        columns = torch.where(flip[:, None], w - 1 - columns, columns)
        source = (rows[:, :, None] * w + columns[:, None, :]).view(n, 1, h * w).expand(n, c, h * w)
        return x.reshape(n, c, h * w).gather(2, source).view(n, c, h, w)


def jittered(x: Tensor, jitter: Tensor) -> Tensor:
    """Contrast, saturation and hue of pixels ``(N, C, H, W)`` in [0, 1], each clipped; grey has only a contrast.

    Args:
        x: Pixels.
        jitter: Factor of the contrast about the mean grey, of the distance from grey, and the turn ``(N, 3)``.
    """
    contrast, saturation, turn = jitter[:, :, None, None, None].unbind(1)
    middle = _grey(x).mean((1, 2, 3), keepdim=True)
    x = (middle + contrast * (x - middle)).clamp(0, 1)
    if x.shape[1] != len(GREY):
        return x
    grey = _grey(x)
    x = (grey + saturation * (x - grey)).clamp(0, 1)
    return turned(x, turn[:, 0]) if bool(turn.any()) else x


def _grey(x: Tensor) -> Tensor:
    """Pixels ``(N, C, H, W)`` without colour ``(N, 1, H, W)``."""
    if x.shape[1] != len(GREY):
        return x.mean(1, keepdim=True)
    return (x * torch.tensor(GREY, device=x.device, dtype=x.dtype).view(-1, 1, 1)).sum(1, keepdim=True)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Turns hues by a share of the circle ``(N, 1, 1)``; value and saturation stay (Smith's hexcone, 1978)."""
    high, low = x.amax(1), x.amin(1)
    chroma = high - low
    red, green, blue = x.unbind(1)
    sixth = torch.where(high == red, (green - blue) / chroma, 2 + (blue - red) / chroma)
    sixth = torch.where((high == blue) & (high != red) & (high != green), 4 + (red - green) / chroma, sixth)
    hue = torch.where(chroma > 0, sixth, 0) + 6 * turn
    places = torch.tensor([5.0, 3.0, 1.0], device=x.device, dtype=x.dtype).view(-1, 1, 1)
    k = (places + hue[:, None]) % 6
    return high[:, None] - chroma[:, None] * k.minimum(4 - k).clamp(0, 1)
