"""How far a run is, in words for people and in lines of JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unveil.cli.terminal import errors, lasting

if TYPE_CHECKING:
    from unveil.harness.plan.node import Node
    from unveil.harness.running.execute import Outcome
    from unveil.harness.running.tally import Tally

Line = Callable[[dict[str, Any]], None]
EventsOption = Annotated[
    Path | None,
    typer.Option("--events", help="Append a line of JSON to this file or pipe for each step that starts or ends."),
]


@contextmanager
def lines(file: Path | None) -> Iterator[Line | None]:
    """Whoever writes events into a file, a line each, at once; None without one.

    A file that cannot be written any more, such as a pipe whose reader went away, is no reason to stop computing.
    """
    if file is None:
        yield None
        return
    with file.open("ab", buffering=0) as opened:  # nothing is left to be written when it is closed
        broken = False

        def tell(found: dict[str, Any]) -> None:
            nonlocal broken
            try:
                if not broken:
                    opened.write(json.dumps(found).encode() + b"\n")
            except OSError as error:
                broken = True
                errors().print(f"warning: no more events in {file}: {error.strerror}", style="yellow", soft_wrap=True)

        yield tell


def event(node: Node, outcome: Outcome | None, tally: Tally) -> dict[str, Any]:
    """A step that started or ended, and how far the run is then."""
    step = {"kind": node.kind, "label": node.label, "key": node.key}
    if outcome is None:
        return {"event": "start", **step, "run": tally.plain()}
    ended = {"status": outcome.status, "seconds": outcome.seconds, "error": outcome.error}
    return {"event": "end", **step, **ended, "run": tally.plain()}


def sentence(tally: Tally) -> str:
    """The same in words."""
    counts = tally.counts
    parts = [f"{counts[how]} {name}" for how, name in NAMES.items() if counts[how] or how == "done"]
    if (rate := tally.a_minute) is not None:
        parts.append(f"{rate:.{0 if rate >= 10 else 1}f} a minute")
    if tally.left is not None and counts["waiting"] + counts["running"]:
        parts.append(f"about {lasting(tally.left)} left")
    seconds, label = tally.longest
    if label:
        parts.append(f"longest: {label}, {lasting(seconds)}")
    return ", ".join(parts)


NAMES = {"done": "done", "cached": "known", "running": "running", "waiting": "to do"} | {
    how: how for how in ("failed", "blocked", "unscored")
}
