"""Long loops that show their progress and survive being killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from unveil.harness.words.run import Bar, Run

SECONDS_BETWEEN_CHECKPOINTS = 60.0  # wall clock: when a loop is saved never changes what it computes


def resumable_steps(
    run: Run,
    name: str,
    total: int,
    state: Callable[[], Mapping[str, Any]],
    restore: Callable[[Mapping[str, Any]], None],
) -> Iterator[tuple[int, Bar]]:
    """Counts the steps of a loop, from where an interrupted run of it left off.

    For the result to be bit-identical, a step may only depend on its number and on what ``state`` holds.

    Args:
        run: Where checkpoints and progress go.
        name: Of the checkpoint, and beside the bar.
        total: Number of steps.
        state: Everything that one step leaves to the next.
        restore: Puts such a state back.

    Yields:
        The step's number and the bar, which the loop itself moves on.
    """
    saved = run.load(name)
    if saved is not None:
        restore(saved["state"])
    first = 0 if saved is None else int(saved["step"])
    with run.progress(name, total) as bar:
        bar.advance(first)
        last = time.monotonic()
        for i in range(first, total):
            yield i, bar
            if time.monotonic() - last >= SECONDS_BETWEEN_CHECKPOINTS or run.interrupted():
                run.save(name, {"step": i + 1, "state": dict(state())})
                last = time.monotonic()
