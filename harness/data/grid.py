"""Pictures side by side, as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor


def grid(lines: Sequence[Sequence[Tensor]]) -> bytes:
    """PNG of lines of pictures ``(C, H, W)`` in [0, 1], C 1 or 3; those of a line are as high as each other."""
    pixels = (torch.cat([torch.cat(list(line), 2) for line in lines], 1) * 255).round().to(torch.uint8)
    pixels = pixels.expand(3, -1, -1) if pixels.shape[0] == 1 else pixels
    out = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(out, "PNG", optimize=True)
    return out.getvalue()
