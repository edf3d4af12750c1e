"""Times a step by its own progress, and gets it over with once it is known how fast it goes. Knows no torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

FEWEST = 3  # units of a loop that tell how fast it goes, if they take long enough
WARM = 1  # of them, after which a loop has come up to speed


class Enough(BaseException):
    """Ends a step of which enough is known; no `Exception`, which plugins may catch."""


@dataclass(frozen=True)
class Pace:
    """For how long a loop is looked at, in seconds.

    Attributes:
        long: That tells how fast it goes, if it comes to a few units in them.
        longest: That must do, however few.
        forward: On the way to the end of a loop whose arithmetic is left out; what takes longer ends the step.
        tried: Of these, after which it is known how long that takes.
        units: Of a loop, that tell how fast it goes if they take so long.
    """

    long: float = 1.5
    longest: float = 5.0
    forward: float = 3.0
    tried: float = 0.3
    units: int = FEWEST


USUAL = Pace()


class Stopwatch:
    """A `Progress` that nobody sees.

    Loops inside loops are part of the outer one's units. What a step does outside its loops counts as it is.

    Args:
        shortcut: Makes a context in which a loop's steps take next to no time, and come to nothing of use.
        clock: Seconds since whenever.
        pace: For how long a loop is looked at.

    Attributes:
        whole: Whether all that was done was done for real.
        loops: Those that are open, the outermost first.
    """

    def __init__(
        self,
        shortcut: Callable[[], AbstractContextManager[object]],
        clock: Callable[[], float] = time.monotonic,
        pace: Pace = USUAL,
    ) -> None:
        self.shortcut, self.clock, self.pace, self.whole = shortcut, clock, pace, True
        self.loops: list[Loop] = []
        self._began, self._spared = clock(), 0.0
        self._told: float | None = None

    def seconds(self) -> float | None:
        """What the step takes whole, by what it did so far; None if an open loop has not moved, or none is open.

        It stays what it is when first asked: as a step is stopped, its loops close before their end.
        """
        if self._told is None and (share := self.share()):
            outer = self.loops[0]
            gone = self.clock() - self._began + self._spared
            since = self.clock() - outer.began
            self._told = gone + (outer.spared() if outer.forward else since * (1 / share - 1))
        return self._told

    def finished(self) -> float:
        """What the step takes whole, now that it has come to its end."""
        return self.clock() - self._began + self._spared

    def share(self) -> float:
        """How much is done of the outermost loop, from 0 to 1, those inside it counted as parts of its units."""
        share = 0.0
        for loop in reversed(self.loops):
            share = min(1.0, (loop.done + share) / max(loop.total, 1))
        return share

    def start(self, label: str, total: int) -> Loop:  # noqa: ARG002 (as Progress calls it)
        """Begins to time a loop of ``total`` units."""
        loop = Loop(self, total, outermost=not self.loops)
        self.loops.append(loop)
        return loop

    def stop(self, bar: object) -> None:
        """Ends it."""
        loop = self.loops.pop()
        assert loop is bar
        self._spared += loop.spared()
        loop.close()


class Loop:
    """A loop that is timed; a `Bar`.

    Attributes:
        total: Its units.
        done: Those behind it.
        began: When it did.
        forward: When and after how many units its arithmetic began to be left out.
    """

    def __init__(self, watch: Stopwatch, total: int, *, outermost: bool) -> None:
        self.total, self.done, self.began = total, 0, watch.clock()
        self.forward: tuple[float, int] | None = None
        self._watch, self._outermost, self._times, self._rate = watch, outermost, 0, 0.0
        self._warm = self.began, 0
        self._open = ExitStack()

    def advance(self, steps: int = 1, **values: float) -> None:  # noqa: ARG002 (as Bar has it)
        """Notes how far it is, and leaves the arithmetic of the rest out when that tells enough.

        Raises:
            Enough: If the rest would take too long even so.
        """
        if steps <= 0:
            return
        self.done, self._times = self.done + steps, self._times + 1
        if not self._outermost or self.done >= self.total:
            return
        now, pace = self._watch.clock(), self._watch.pace
        if self.forward is not None:
            self._require_quick(now, *self.forward)
            return
        if self._times == WARM:
            self._warm = now, self.done
        gone = now - self.began
        if gone >= pace.longest or (gone >= pace.long and self._times >= pace.units):
            self._go_forward(now)

    def spared(self) -> float:
        """Seconds that its arithmetic would have taken longer than leaving it out did."""
        if self.forward is None:
            return 0.0
        began, done = self.forward
        return self._rate * (self.total - done) - (self._watch.clock() - began)

    def close(self) -> None:
        """Computes again."""
        self._open.close()

    def _go_forward(self, now: float) -> None:
        first, done = self._warm if self._times > WARM + 1 else (self.began, 0)
        self._rate = (now - first) / (self.done - done)
        self.forward, self._watch.whole = (now, self.done), False
        self._open.enter_context(self._watch.shortcut())

    def _require_quick(self, now: float, began: float, since: int) -> None:
        gone, pace = now - began, self._watch.pace
        if gone >= pace.tried and gone / (self.done - since) * (self.total - since) > pace.forward:
            self._watch.seconds()
            raise Enough
