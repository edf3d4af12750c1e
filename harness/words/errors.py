"""Every error a user can cause, each saying what was wrong, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Sequence

LISTED = 10  # names that are given; the others are counted
LONGEST = 300  # characters of each


def listed(items: Sequence[str], most: int = LISTED) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(one if len(one) <= LONGEST else f"{one[:LONGEST]}..." for one in items[:most]) + more


class UnveilError(Exception):
    """Base of all errors that are the input's fault, not a bug; printed without a traceback.

    Args:
        what: What was found, with the offending value.
        expected: What would have been right.
        todo: What the user can do about it.
    """

    def __init__(self, what: str, expected: str = "", todo: str = "") -> None:
        self.what, self.expected, self.todo = what, expected, todo
        lines = [what]
        lines += [f"expected: {expected}"] if expected else []
        lines += [f"to do: {todo}"] if todo else []
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[UnveilError], tuple[str, str, str]]:
        return type(self), (self.what, self.expected, self.todo)


class PlanError(UnveilError):
    """A plan file that cannot be run as written."""


class PluginError(UnveilError):
    """A plugin that is unknown, broken, registered twice or wrongly configured."""


class DataError(UnveilError):
    """Images, labels or splits that cannot be used."""


class AssetError(UnveilError):
    """A downloadable file that could not be fetched or is not what it should be."""


class AwayError(AssetError):
    """A judge from outside that cannot be asked just now: nothing is scored, and the next run asks again."""


class WeightsError(UnveilError):
    """A checkpoint that does not fit the model it is meant for."""


class TrainingError(UnveilError):
    """Training that diverged."""


class AccessError(UnveilError):
    """An attack that asked the target for more than its threat model allows."""


class BudgetSpentError(UnveilError):
    """An attack that asked the target for more than the plan lets it spend."""


class JudgeError(UnveilError):
    """An evaluator that must not judge, for instance because it is the target."""


class StoreError(UnveilError):
    """A store that cannot be used, read or written."""


class DamageError(StoreError):
    """An artefact that is not there any more or cannot be read, and can be computed again."""


class UnansweredError(UnveilError):
    """A judge from outside that has not answered yet."""


class TrackingError(UnveilError):
    """Results that could not be logged to MLflow; they are safe in the store."""


class OutputError(UnveilError):
    """An answer that could not be written to standard output."""
