"""A contact sheet of a data set: a look at the pictures finds what no count does."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unveil.harness.data.grid import grid
from unveil.harness.words.images import Data, Images
from unveil.harness.words.pixels import brought_to

PEOPLE, EACH, GAP, LABEL = 40, 3, 6, 110  # most people a side, pictures a split, and pixels


def sheet(data: Data) -> bytes:
    """PNG: a line for each of the first private people (train, validation, test), then lines of public pictures."""
    lines = [_title(data, f"private: {EACH} of train, validation and test each; {data.classes} people")]
    for number, name in list(enumerate(data.names))[:PEOPLE]:
        parts = [_strip(part, part.labels == number) for part in (data.train, data.validation, data.test)]
        lines.append([_text(data, name), *_with_gaps(parts)])
    lines.append(_title(data, f"public: {len(data.public)} pictures"))
    known = data.public.labels.unique()[:PEOPLE]
    for number in known.tolist():
        whose = data.public.labels == number
        said = f"public {number}" if number >= 0 else "nobody known"
        lines.append([_text(data, said), *_with_gaps([_as_high(_spread(data.public, whose, 3 * EACH), data)])])
    wide = max(sum(tensor.shape[2] for tensor in line) for line in lines)
    return grid([[*line, _blank(data, wide - sum(t.shape[2] for t in line), line[0].shape[1])] for line in lines])


def _strip(images: Images, chosen: Tensor) -> Tensor:
    """The first pictures of one person, side by side; white where there are fewer."""
    return _spread(images[chosen][:EACH], torch.ones(len(images[chosen][:EACH]), dtype=torch.bool), EACH)


def _spread(images: Images, chosen: Tensor, count: int) -> Tensor:
    """Pictures taken evenly from those chosen, side by side; white where there are fewer."""
    rows = chosen.nonzero().flatten()
    taken = rows[torch.linspace(0, len(rows) - 1, min(count, len(rows))).round().long()]
    missing = [torch.ones(images.shape)] * (count - len(taken))
    return torch.cat([*images.at(taken), *missing], 2)


def _as_high(strip: Tensor, data: Data) -> Tensor:
    """A strip of pictures with the height and width that it would have of private ones."""
    return brought_to(strip[None], (data.train.shape[1], 3 * EACH * data.train.shape[2]))[0]


def _with_gaps(parts: list[Tensor]) -> list[Tensor]:
    gap = torch.ones(*parts[0].shape[:2], GAP)
    return [tensor for part in parts for tensor in (gap, part)]


def _blank(data: Data, width: int, height: int) -> Tensor:
    return torch.ones(data.train.shape[0], height, max(width, 0))


def _title(data: Data, text: str) -> list[Tensor]:
    return [_drawn(data, text, LABEL + 9 * data.train.shape[2] + 3 * GAP, 20)]


def _text(data: Data, text: str) -> Tensor:
    return _drawn(data, text, LABEL, data.train.shape[1])


def _drawn(data: Data, text: str, width: int, height: int) -> Tensor:
    """Words as a picture of the data's channels."""
    paper = Image.new("L", (width, height), 255)
    ImageDraw.Draw(paper).text((4, 2), text, fill=0)
    return torch.from_numpy(np.array(paper)).float().div(255).expand(data.train.shape[0], -1, -1)
