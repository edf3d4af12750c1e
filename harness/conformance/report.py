"""What was found out about a plugin, and the errors that checks raise to say it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from unveil.harness.words.errors import AssetError, UnveilError

S = TypeVar("S")


class BreachError(UnveilError):
    """A plugin does what no plugin may do."""


class NotApplicableError(Exception):
    """A check does not apply to a plugin, and why."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: What was checked.
        ok: Whether it holds; None where it could not be checked.
        detail: What is wrong, what was expected and what to do; or why it was not checked.
    """

    name: str
    ok: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that was found out about a plugin.

    Attributes:
        kind: Such as ``"defenses"``.
        use: Registered name, or file and class.
        origin: Who registered it.
        made_small: Settings that were lowered to try it out in seconds, in words.
        findings: In the order in which they were made.
    """

    kind: str
    use: str
    origin: str
    made_small: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What does not hold."""
        return tuple(finding for finding in self.findings if finding.ok is False)

    def __str__(self) -> str:
        marks = {True: "ok", False: "FAILED", None: "skipped"}
        lines = [f"{self.use} ({self.kind}, {self.origin})"]
        for found in self.findings:
            text = f": {found.detail}" if found.detail else ""
            lines.append(f"  {marks[found.ok]:8}{found.name}{text}".replace("\n", "\n            "))
        return "\n".join(lines)


Check = Callable[[S], None]
"""Named by its function; returns nothing if all is well, else raises `BreachError` or `NotApplicableError`."""


def try_all(checks: Iterable[Check[S]], subject: S, file: str) -> Iterator[Finding]:
    """Makes every check; those after the first one need what it made, so if it does not hold they are left out.

    Args:
        checks: The first one makes the plugin answer at all.
        subject: What they look at.
        file: Source of the plugin, to point at the line of it that raised.
    """
    for number, check in enumerate(checks):
        found = try_one(check, subject, file)
        yield found
        if number == 0 and not found.ok:
            return


def try_one(check: Check[S], subject: S, file: str) -> Finding:
    """Makes one check; whatever it raises becomes a finding."""
    name = check.__name__.replace("_", " ")
    try:
        check(subject)
    except NotApplicableError as reason:
        return Finding(name, None, str(reason))
    except AssetError as error:
        return Finding(name, None, f"needs an asset that cannot be had here: {error}")
    except UnveilError as error:
        return Finding(name, False, str(error))
    except (Exception, SystemExit) as error:  # whatever a plugin may raise is a finding about it
        return Finding(name, False, f"it raised {type(error).__name__}: {error}{_where(error, file)}")
    return Finding(name, True)


def _where(error: BaseException, file: str) -> str:
    """The plugin's own line that led to an error, else the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or frames[-1:]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
