"""How torch's threads wait for each other: asleep, not in a loop that keeps a core from everybody else."""

from __future__ import annotations

import os

from unveil.harness.running.processors import patience


def wait_asleep() -> None:
    """Makes threads that wait give up their core; must be called before torch is loaded."""
    os.environ.update(patience())
