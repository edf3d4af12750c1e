"""What a run looks like in a terminal, or in a log. Nothing that is printed is taken for markup or control codes."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from unveil.cli.streams import answers

EVERY = 10.0  # seconds between lines in a log
EVERY_TALLY = 30.0  # seconds between lines in a log that say how far all of it is
UNREAD = 160  # columns of a table when nobody reads along
UNITS = ("B", "kB", "MB", "GB", "TB")
NARROWEST = 40  # columns; a terminal that is narrower breaks the lines itself, and nothing is left out

# Control characters but tab and newline, marks that turn the direction of text, line separators, broken characters
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Text in which characters that would act on a terminal, or cannot be shown, are written out.

    >>> print(visible("a\x1b[2Jb\u202ec"))
    a\x1b[2Jb\u202ec
    """
    return UNSEEN.sub(_written_out, text)


def one_line(name: str) -> str:
    r"""A name as part of a line, which it cannot end.

    >>> print(one_line("none\ndone"))
    none\ndone
    """
    return re.sub(r"[\n\t]", _written_out, visible(name))


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class Terminal(Console):
    """A console that shows all text as it is: no markup, no emoji codes, no control codes, nothing it cannot encode."""

    def __init__(self, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else answers()
        read = stream is not None and stream.isatty()
        width = None if read else UNREAD
        super().__init__(file=stream, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
        if self.width < NARROWEST:  # noqa: PLR1730 (a width that is set follows the window no longer)
            self.width = NARROWEST

    def shown(self, text: str) -> str:
        """Text as this terminal can show it; before it is laid out, since it may become longer."""
        return visible(text).encode(self.encoding, "backslashreplace").decode(self.encoding)

    def render_str(self, text: str, **how: Any) -> Text:
        """Any text that is printed, or stands in a table; the options are rich's own."""
        return super().render_str(self.shown(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Anything else; what rich itself says to the terminal is kept apart from text and passes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(self.shown(segment.text), segment.style)


def output() -> Terminal:
    """Where answers go."""
    return Terminal()


def errors() -> Terminal:
    """Where progress and complaints go."""
    return Terminal(stderr=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output, in ASCII."""
    if (stream := answers()) is not None:
        stream.write(json.dumps(value, indent=2) + "\n")
        stream.flush()


def lasting(seconds: float) -> str:
    """A duration in words.

    >>> lasting(41.3), lasting(95), lasting(487), lasting(7384)
    ('41 s', '2 min', '8 min', '2 h 3 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def roughly(seconds: float) -> str:
    """A duration that was estimated, as exactly as an estimate can be.

    >>> roughly(3), roughly(41.3), roughly(95), roughly(700), roughly(2500), roughly(7384), roughly(90_000)
    ('less than 10 s', '40 s', '2 min', '12 min', '40 min', '2 h', '25 h')
    """
    if seconds < 10:
        return "less than 10 s"
    if seconds < 90:
        return f"{round(seconds, -1):.0f} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} min" if minutes < 20 else f"{5 * round(minutes / 5)} min"
    halves = round(minutes / 30) / 2
    return f"{halves:g} h" if halves < 10 else f"{halves:.0f} h"


def in_bytes(count: float) -> str:
    """A size in words.

    >>> in_bytes(0), in_bytes(1536), in_bytes(13_400_000)
    ('0 B', '1.5 kB', '13.4 MB')
    """
    for unit in UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {UNITS[-1]}"


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
        self.task: TaskID = live.add_task(one_line(label), total=total, shown="")

    def advance(self, steps: int = 1, **values: float) -> None:
        """Moves the bar on and shows the latest values beside it."""
        shown = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
        self.live.advance(self.task, steps)
        if shown:
            self.live.update(self.task, shown=one_line(shown))


class LogBar:
    """A line now and then in a log."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        self.console, self.label, self.total = console, one_line(label), total
        self.done, self.last = 0, time.monotonic()

    def advance(self, steps: int = 1, **values: float) -> None:
        """Counts, and prints when the last line is long enough ago."""
        self.done += steps
        if time.monotonic() - self.last >= EVERY:
            self.last = time.monotonic()
            shown = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
            self.console.print(f"    {self.label}: {100 * self.done // max(self.total, 1)} %  {one_line(shown)}")


class Screen:
    """Shows progress: live bars in a terminal, lines in a log and in a terminal that cannot move its cursor."""

    def __init__(self) -> None:
        self.console = errors()
        columns = (
            TextColumn("    {task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[shown]}", style="dim", markup=False),
        )  # fmt: skip
        moves = self.console.is_terminal and not self.console.is_dumb_terminal
        self.live = Progress(*columns, console=self.console, transient=True) if moves else None
        self.whole: TaskID | None = None
        self.last = time.monotonic()

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

    def tally(self, text: str, done: int, total: int) -> None:
        """How far all of it is: a bar below the others in a terminal, a line now and then in a log."""
        if self.live:
            if self.whole is None:
                self.whole = self.live.add_task("all steps", total=total, shown="")
            self.live.update(self.whole, completed=done, total=total, shown=one_line(text))
        elif time.monotonic() - self.last >= EVERY_TALLY:
            self.last = time.monotonic()
            self.say(f"    {one_line(text)}")

    def starts(self, text: str) -> None:
        """Says in a log that something starts; in a terminal its bar shows it."""
        if self.live is None:
            self.say(text)

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self.console.print(text, style=style, soft_wrap=True)
