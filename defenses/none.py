"""No defense: the reference that every other one is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from unveil.harness.types import Defense


@dataclass(frozen=True)
class NoDefense(Defense):
    """No defense."""

    def at_zero(self) -> NoDefense:
        """Itself."""
        return self
