"""Two defenses that each learn in a way of their own cannot both have their way."""

from __future__ import annotations

from unveil.harness.types import Learner
from unveil.harness.words.errors import PluginError


def require_plain(learner: Learner, name: str) -> None:
    """Refuses a learner that another defense made.

    Raises:
        PluginError: If so.
    """
    if type(learner) is not Learner:
        raise PluginError(
            f"{name} in a stack with {type(learner).__name__}, which learns in a way of its own",
            "one of them",
            "drop one",
        )
