"""What a run looks like in a terminal, or in a log."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

EVERY = 10.0  # seconds between lines in a log


def output() -> Console:
    """Where answers go. Wide enough for tables when nobody reads along."""
    return Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False)


def errors() -> Console:
    """Where progress and complaints go."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else 160)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def lasting(seconds: float) -> str:
    """A duration in words.

    >>> lasting(41.3), lasting(95), lasting(487), lasting(7384)
    ('41 s', '2 min', '8 min', '2 h 3 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def table(title: str, *columns: str) -> Table:
    """An empty table in the common style."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


class LiveBar:
    """A bar in a terminal."""

    def __init__(self, live: Progress, label: str, total: int) -> None:
        self.live = live
        self.task: TaskID = live.add_task(label, total=total, shown="")

    def advance(self, steps: int = 1, **values: float) -> None:
        """Moves the bar on and shows the latest values beside it."""
        shown = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
        self.live.advance(self.task, steps)
        if shown:
            self.live.update(self.task, shown=shown)


class LogBar:
    """A line now and then in a log."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        self.console, self.label, self.total = console, label, total
        self.done, self.last = 0, time.monotonic()

    def advance(self, steps: int = 1, **values: float) -> None:
        """Counts, and prints when the last line is long enough ago."""
        self.done += steps
        if time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            shown = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
            self.console.print(f"    {self.label}: {100 * self.done // max(self.total, 1)} %  {shown}", highlight=False)


class Screen:
    """Shows progress: live bars in a terminal, lines in a log."""

    def __init__(self) -> None:
        self.console = errors()
        columns = (
            TextColumn("    {task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[shown]}", style="dim"),
        )  # fmt: skip
        self.live = Progress(*columns, console=self.console, transient=True) if self.console.is_terminal else None

    def __enter__(self) -> Screen:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def start(self, label: str, total: int) -> LiveBar | LogBar:
        """Opens a bar of ``total`` steps."""
        return LiveBar(self.live, label, total) if self.live else LogBar(self.console, label, total)

    def stop(self, bar: LiveBar | LogBar | Any) -> None:
        """Closes it."""
        if isinstance(bar, LiveBar):
            bar.live.remove_task(bar.task)

    def starts(self, text: str) -> None:
        """Says in a log that something starts; in a terminal its bar shows it."""
        if self.live is None:
            self.say(text)

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self.console.print(text, style=style, markup=False, highlight=False)
