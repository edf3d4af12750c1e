"""What a hostile input is, and the list that all are on."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from unveil.harness.words.errors import UnveilError

ENTRIES = {
    "checkpoint", "StyleGAN2 pickle", "network file", "pictures", "labels", "plan", "answers", "results", "store",
    "npm package", "wheel", "page", "submission",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        entry: Where it enters.
        name: What is hostile about it.
        feed: Writes it and reads it as the program would; given the `Place`.
        error: What refuses it; None where it is taken, and ``feed`` looks at what became of it.
        told: In the message.
    """

    entry: str
    name: str
    feed: Callable
    error: type[UnveilError] | None
    told: str


CASES: list[Case] = []


def case(entry: str, name: str, error: type[UnveilError] | None = None, told: str = "") -> Callable:
    def add(feed: Callable) -> Callable:
        CASES.append(Case(entry, name, feed, error, told))
        return feed

    return add


class Runs:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def touch(place) -> Runs:
    return Runs(os.system, f"touch {place.canary}")
