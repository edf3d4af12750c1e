"""What a step may take: time, and memory of the process that computes it and of those that it started."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unveil.harness.words.errors import PlanError, UnveilError

PROCESSES = Path("/proc")
GIGABYTE = 10**9


@dataclass(frozen=True)
class Limits:
    """Of one step; 0: none.

    Attributes:
        minutes: It may take.
        gigabytes: It may have in memory (10**9 bytes), on the processor's side.

    Raises:
        PlanError: If they are negative, or memory cannot be looked at here.
    """

    minutes: float = 0.0
    gigabytes: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("minutes", self.minutes), ("gigabytes", self.gigabytes)):
            if not 0 <= value < math.inf:
                raise PlanError(f"a step may take {value} {name}", "0 (no limit) or more", "correct it")
        if self.gigabytes and not resident(os.getpid()):
            raise PlanError(
                "a limit for the memory of a step, on a system that does not show it in /proc", "Linux", "leave it out"
            )

    def __bool__(self) -> bool:
        return bool(self.minutes or self.gigabytes)

    def broken(self, process: int, seconds: float) -> UnveilError | None:
        """What a step is over, in words; None if nothing.

        Args:
            process: Id of the process that computes it.
            seconds: That it has taken.
        """
        todo = "allow more, or ask for less; the next run goes on from its last checkpoint"
        if self.minutes and seconds > 60 * self.minutes:
            return UnveilError(f"it took more than {self.minutes:g} minutes", "a step within --step-timeout", todo)
        if self.gigabytes and (held := resident(process) / GIGABYTE) > self.gigabytes:
            what = f"it held {held:.1f} GB in memory, more than {self.gigabytes:g} GB"
            return UnveilError(what, "a step within --step-memory", todo)
        return None


def resident(process: int) -> int:
    """Bytes in memory of a process and all that it started; 0 if it has ended or nothing shows it."""
    folder, total = PROCESSES / str(process), 0
    with suppress(OSError, ValueError):
        total += int((folder / "statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for thread in (folder / "task").iterdir():
            with suppress(OSError):  # a thread that has ended just now
                total += sum(
                    resident(int(child)) for child in (thread / "children").read_text(encoding="ascii").split()
                )
    return total
