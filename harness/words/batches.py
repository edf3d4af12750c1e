"""Which pictures share a training batch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from unveil.harness.words.errors import DataError


def shuffled(labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """All pictures once, in batches of equal size, give or take one, of at most ``size``."""
    return _cut(torch.randperm(len(labels), generator=generator), size)


def balanced(labels: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """As many as there are pictures; every class in turn, each class's pictures without repetition in turn."""
    members = _members(labels)
    turns = math.ceil(len(labels) / len(members))
    columns = []
    for member in members:
        laps = math.ceil(turns / len(member))
        laid = torch.cat([member[torch.randperm(len(member), generator=generator)] for _ in range(laps)])
        columns.append(laid[:turns])
    rows = torch.stack(columns, dim=1)  # (turn, class)
    mixed = torch.stack([row[torch.randperm(len(row), generator=generator)] for row in rows])
    return _cut(mixed.flatten()[: len(labels)], size)


def by_people(labels: Tensor, people: int, each: int, generator: torch.Generator) -> list[Tensor]:
    """Batches of so many people with so many pictures each, which show as many pictures as there are, or a few more.

    All people come equally often, give or take one, and so do all pictures of a person. No picture is twice in a
    batch, unless its person has fewer than ``each``.

    Args:
        labels: Whose each picture is ``(N,)``.
        people: In a batch.
        each: Pictures of each of them.
        generator: Random numbers.

    Raises:
        DataError: If there are fewer people.
    """
    members = _members(labels)
    if len(members) < people:
        raise DataError(
            f"batches of {people} people are to be drawn, and {len(members)} have training pictures",
            f"at most {len(members)}",
            "lower people in the recipe",
        )
    hands = [_dealt(len(member), each, generator) for member in members]
    count = math.ceil(len(labels) / (people * each))
    turns = itertools.islice(_dealt(len(members), people, generator), count)
    return [torch.cat([members[one][torch.tensor(next(hands[one]))] for one in turn]) for turn in turns]


def _dealt(count: int, size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Hands of so many of 0 to ``count - 1`` without end, evenly, and as different within a hand as can be."""
    waiting: list[int] = []
    while True:
        hand: list[int] = []
        later: list[int] = []
        while len(hand) < size:
            if not waiting:
                waiting = torch.randperm(count, generator=generator).tolist()
            one = waiting.pop(0)
            (later if hand.count(one) > len(hand) // count else hand).append(one)
        waiting = later + waiting
        yield hand


def _members(labels: Tensor) -> Sequence[Tensor]:
    """The pictures of each class."""
    return [torch.nonzero(labels == label).flatten() for label in torch.unique(labels)]


def _cut(order: Tensor, size: int) -> list[Tensor]:
    return list(order.tensor_split(math.ceil(len(order) / size)))
