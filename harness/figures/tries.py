"""What one tried strength of a defense was good for. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def accuracy(tried: Mapping[str, Any]) -> float:
    """Share of the validation pictures that a rung recognised.

    Args:
        tried: An entry of a ladder's record that has ``people``: ``[recognised, pictures]`` by class.
    """
    right, pictures = np.sum(list(tried["people"].values()), axis=0)
    return float(right / pictures)
