"""A training that is interrupted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unveil.harness.words.run import Bar, Progress, Silent


class Interrupted(Silent):
    """Stops a training at a step of its."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def start(self, label: str, total: int) -> Bar:
        return self

    def advance(self, steps: int = 1, **values: float) -> None:
        self.left -= steps
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted() -> Callable[[int], Progress]:
    """Makes progress that ends after so many steps."""
    return Interrupted
