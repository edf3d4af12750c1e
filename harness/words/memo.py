"""Remembers the last few things that were dear to compute, and forgets them all before an attack must not find them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
_all: weakref.WeakSet[Memo[object]] = weakref.WeakSet()


class Memo(Generic[T]):
    """A few values by key, the one that was not asked for longest forgotten first.

    Whatever is remembered in a process beyond one step of a plan belongs into one of these: `forget_all` empties them
    before an attack that sees scores or labels only begins, so that it finds neither private pictures nor what was
    computed from them.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Hashable, T] = {}
        _all.add(self)  # type: ignore[arg-type]

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not known."""
        value = self._known.pop(key) if key in self._known else make()
        while len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[key] = value  # most recent last
        return value

    def clear(self) -> None:
        """Forgets everything."""
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)


def forget_all() -> None:
    """Empties every memo of this process."""
    for memo in list(_all):
        memo.clear()
