"""What a data set plugin offers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from unveil.harness.words.defense import Plugin
from unveil.harness.words.images import Data
from unveil.harness.words.run import Run


@runtime_checkable
class Dataset(Plugin, Protocol):
    """Where private and public pictures come from."""

    def load(self, run: Run) -> Data:
        """Reads or draws the pictures, splits them and refuses people and pictures that are on both sides.

        Raises:
            DataError: If they cannot be used.
        """
        ...
