"""What a judge from outside is asked: few pairs, evenly over people, in an order that gives nothing away."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.steps.people import join, who
from unveil.harness.types import Data, Images
from unveil.harness.words.pixels import brought_to
from unveil.harness.words.run import Run
from unveil.metrics.comparers import People
from unveil.metrics.judging import as_pictures

GENUINE, IMPOSTOR, RECONSTRUCTION = 0, 1, 2
CHUNK = 256  # pictures that are hashed at a time
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Questions:
    """Pairs of a picture and a person; of each pair, its picture has the same number.

    Attributes:
        pictures: ``(Q, C, H, W)``, of 256 levels.
        claimed: Places of the people whom they may show ``(Q,)``, in the order of the enrolled.
        shown: Labels of who is on them, or should be ``(Q,)``; strangers have numbers beyond the private people's.
        kind: ``GENUINE``, ``IMPOSTOR`` or ``RECONSTRUCTION`` ``(Q,)``.
    """

    pictures: Tensor
    claimed: Numbers
    shown: Numbers
    kind: Numbers

    @property
    def pairs(self) -> Numbers:
        """As a comparer is asked them ``(Q, 2)``."""
        return np.stack([np.arange(len(self.claimed)), self.claimed], axis=1)


def draw(data: Data, people: People, fakes: Images, most: int) -> Questions:
    """At most so many pairs of each of three kinds, shuffled.

    Genuine pairs are held-out private pictures with their own person; impostor pairs these and public pictures, half
    of each, with somebody else; and reconstructions stand beside the person they should show. The real pairs are the
    same for all attacks and defenses on the same data.

    Args:
        data: Private and public pictures.
        people: The enrolled.
        fakes: Reconstructions of people who are enrolled; all pictures are brought to their size.
        most: Pairs of each kind.
    """
    source = Run(f"questions {data.checksum}")  # not the cell's own: all cells are compared with the same real pairs
    held = by_content(join(data.validation, data.test))
    held = held[torch.isin(held.labels, torch.from_numpy(people.numbers))]
    own = held[evenly(held.labels, most, source.generator("genuine"))]
    others, claimed, strange = _impostors(data, held, people, most, source)
    fakes = by_content(fakes)
    made = fakes[evenly(fakes.labels, most, source.generator("reconstructions"))]
    pixels = as_pictures(torch.cat([brought_to(x, made.shape[1:]) for x in (own.pixels, others, made.pixels)]))
    claimed = np.concatenate([people.place(own.labels), claimed, people.place(made.labels)])
    shown = np.concatenate([own.labels.numpy(), strange, made.labels.numpy()])
    kind = np.repeat([GENUINE, IMPOSTOR, RECONSTRUCTION], [len(own), len(strange), len(made)])
    order = torch.randperm(len(kind), generator=source.generator("order")).numpy()
    return Questions(pixels[torch.from_numpy(order)], claimed[order], shown[order], kind[order])


def _impostors(data: Data, held: Images, people: People, most: int, source: Run) -> tuple[Tensor, Numbers, Numbers]:
    """Pixels, places of whom they may show, and labels of who is on them."""
    strangers = data.public.labelled(who(data.public) if len(data.public) else data.public.labels)
    ranks = np.unique(strangers.labels.cpu().numpy(), return_inverse=True)[1]
    numbers = np.concatenate([held.labels.cpu().numpy(), data.classes + ranks])
    half = most // 2 if len(strangers) else 0
    rows = np.concatenate(
        [
            _in_turn(held.labels, most - half, source.generator("private impostors")),
            len(held) + _in_turn(strangers.labels, half, source.generator("strangers")),
        ]
    ).astype(np.int64)
    shown, p, i = numbers[rows], len(people), np.arange(len(rows))
    asked = torch.randperm(p, generator=source.generator("claimed")).numpy()
    claimed = asked[(i + i // p) % p]  # another partner in each lap
    claimed = np.where(people.numbers[claimed] == shown, asked[(i + i // p + 1) % p], claimed)
    once = np.sort(np.unique(np.stack([rows, claimed]), axis=1, return_index=True)[1])
    rows, claimed, shown = rows[once], claimed[once], shown[once]
    private, public = rows[rows < len(held)], rows[rows >= len(held)] - len(held)
    theirs = brought_to(strangers.at(torch.from_numpy(public)), held.shape[1:])
    pixels = torch.cat([held.at(torch.from_numpy(private)), theirs])
    return pixels, claimed, shown


def evenly(labels: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Indices of at most so many pictures, as evenly over people as can be, ascending."""
    if len(labels) <= most:
        return torch.arange(len(labels))
    return torch.from_numpy(np.sort(by_turn(labels, generator)[:most]))


def by_turn(labels: Tensor, generator: torch.Generator) -> Numbers:
    """Indices of all pictures: everybody's first, everybody's second, and so on, each person's in random order."""
    shuffled = torch.randperm(len(labels), generator=generator).numpy()
    mixed = labels.cpu().numpy()[shuffled]
    by_person = np.argsort(mixed, kind="stable")
    _, starts, counts = np.unique(mixed[by_person], return_index=True, return_counts=True)
    turn = np.empty(len(mixed), np.int64)
    turn[by_person] = np.arange(len(mixed)) - np.repeat(starts, counts)
    found: Numbers = shuffled[np.argsort(turn, kind="stable")]
    return found


def _in_turn(labels: Tensor, count: int, generator: torch.Generator) -> Numbers:
    """So many indices of pictures, by turn, from the first again after the last; none of none."""
    return np.resize(by_turn(labels, generator), count) if count and len(labels) else np.empty(0, np.int64)


def by_content(images: Images) -> Images:
    """The same pictures person by person, each person's in the order of a hash of their pixels."""
    hashes = [hashlib.sha256(one.contiguous().numpy().data).digest() for part in images.batches(CHUNK) for one in part]
    order = sorted(range(len(images)), key=lambda i: (int(images.labels[i]), hashes[i]))
    return images[torch.tensor(order, dtype=torch.int64)]
