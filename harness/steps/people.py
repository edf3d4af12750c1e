"""Regrouping pictures by person, for training on public people and for judges."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.harness.words.images import Images
from unveil.harness.words.pixels import Chosen, Stored, chosen


def known_people(images: Images, fewest: int) -> Images:
    """Pictures of people who are known by name and have enough of them, relabelled from 0.

    Args:
        images: Labels -1 are unknown people.
        fewest: Smallest number of pictures.
    """
    labels, counts = images.labels[images.labels >= 0].unique(return_counts=True)
    kept = labels[counts >= fewest]
    known = images[torch.isin(images.labels, kept)]
    return known.labelled(torch.searchsorted(kept, known.labels))


def hold_out(images: Images, share: float, generator: torch.Generator) -> tuple[Images, Images]:
    """Splits off a share of each person's pictures, at least one and never all.

    Returns:
        (the rest, the part held out).
    """
    held = torch.zeros(len(images), dtype=torch.bool)
    for label in images.labels.unique():
        own = (images.labels == label).nonzero().flatten()
        count = min(max(1, round(share * len(own))), len(own) - 1)
        held[own[torch.randperm(len(own), generator=generator)[:count]]] = True
    return images[~held], images[held]


def who(images: Images) -> Tensor:
    """A number per person ``(N,)``; everybody whom nobody knows is a person of their own."""
    return torch.where(images.labels < 0, images.labels.max() + 1 + torch.arange(len(images)), images.labels)


def strangers(images: Images, share: float, least: int, generator: torch.Generator) -> tuple[Images, Images]:
    """Splits off a share of the people, and at least so many, with all their pictures; unknown people are one each.

    Returns:
        (pictures of the other people, pictures of the people held out).
    """
    own = who(images)
    people = own.unique()
    count = max(least, round(share * len(people)))
    apart: Tensor = people[torch.randperm(len(people), generator=generator)[:count]]
    held = torch.isin(own, apart)
    return images[~held], images[held]


def join(*parts: Images) -> Images:
    """One set of several; of pictures that are kept in 8 bits nothing is copied."""
    labels = torch.cat([one.labels for one in parts])
    kept = [one.stored for one in parts]
    floats = [one for one in kept if isinstance(one, Tensor)]
    if len(floats) == len(kept):
        return Images(torch.cat(floats), labels)
    places: list[Stored] = []
    rows: list[Tensor] = []
    first = 0
    for one in map(chosen, kept):
        places += one.parts
        rows.append(one.rows + first)
        first += sum(map(len, one.parts))
    return Images(Chosen(places, torch.cat(rows)), labels)
