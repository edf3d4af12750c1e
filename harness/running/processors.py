"""How much of a machine a run may take, and whether others are at work on it."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")

PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""Read by GNU's, and by Intel's and LLVM's OpenMP, once, when torch loads them. A thousand turns are microseconds: on
idle cores most waits end within them, and beside other work they cost nothing that could be measured."""

CHOICES = (*PATIENT, "KMP_LIBRARY")
"""Settings by which somebody may have chosen already."""


def patience() -> dict[str, str]:
    """What lets threads of a process that begins wait asleep; nothing where somebody has chosen: then that is kept."""
    return {} if any(name in os.environ for name in CHOICES) else PATIENT


def cores() -> int:
    """Processors that this process may use: those it may run on, or fewer where a container has a share of them."""
    return math.ceil(min(allowed(), quota()))


def allowed() -> int:
    """Processors that this process may run on, which is as many threads as torch takes by itself."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota() -> float:
    """Processors' worth of time that the control group of this process may use; infinite where nothing limits it."""
    found = [math.inf]
    with suppress(OSError, ValueError):
        for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            place = GROUPS if not controllers else GROUPS / "cpu" if "cpu" in controllers.split(",") else None
            if place is not None:  # in a container the path is often that outside, and the group's files are on top
                found += [_quota(place / path.lstrip("/")), _quota(place)]
    return min(found)


def _quota(folder: Path) -> float:
    with suppress(OSError, ValueError):
        limit, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return float(limit) / float(period)
    with suppress(OSError, ValueError):
        limit, period = ((folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period"))
        return float(limit) / float(period) if float(limit) > 0 else math.inf
    return math.inf


def share(jobs: int, threads: int | None) -> int:
    """Threads of one of so many jobs.

    Args:
        jobs: Steps at a time.
        threads: For all together; None: as many as there are cores, unless OMP_NUM_THREADS says how many a process may
            have.
    """
    each = max(1, (threads or cores()) // jobs)
    own = os.environ.get("OMP_NUM_THREADS", "")
    return min(each, int(own)) if threads is None and own.isdecimal() and int(own) else each


def alone(threads: int | None) -> int:
    """Threads of a step that has the run's share of the machine for itself; 0: as many as torch takes."""
    if threads is not None or os.environ.get("OMP_NUM_THREADS"):
        return threads or 0
    return cores() if cores() < allowed() else 0  # torch knows no quota, and its threads would wait for each other


def crowd(threads: int) -> str:
    """Says so where others keep so many processors busy that steps with several threads would wait; else nothing.

    How many threads compute changes the last bits of numbers. So it is for whoever runs a plan to say, and not for the
    load of a moment.

    Args:
        threads: Of all steps that run at a time.
    """
    try:
        busy = os.getloadavg()[0]
    except OSError:
        return ""
    if threads < 2 or busy + threads < cores() + 1:
        return ""
    return (
        f"{busy:.0f} of {cores()} cores are busy with other work: {threads} threads will wait for each other. With "
        "--threads 1 nobody waits; results differ in their last bits, so keep to one number for a matrix"
    )
