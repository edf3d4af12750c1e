"""How torch's threads wait for each other: asleep, not in a loop that keeps a core from everybody else."""

from __future__ import annotations

import os

PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""Read by GNU's, and by Intel's and LLVM's OpenMP, once, when torch loads them. A thousand turns are microseconds: on
idle cores most waits end within them, and beside other work they cost nothing that could be measured."""

CHOICES = (*PATIENT, "KMP_LIBRARY")
"""Settings by which somebody may have chosen already."""


def wait_asleep() -> None:
    """Makes threads that wait give up their core; must be called before torch is loaded.

    Whoever has set any of ``CHOICES`` has chosen, and keeps what was chosen.
    """
    if not any(name in os.environ for name in CHOICES):
        os.environ.update(PATIENT)
