"""What judges from outside say of real pairs and of reconstructions, and how evaluators err by their word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unveil.harness.words.names import GENUINE, VERIFIED, Quantity
from unveil.leaderboard.columns import Column
from unveil.leaderboard.figures import Line, Setup, lines

ERRORS = ("false positives", "false negatives", "accepted by the evaluator", "accepted by the judge")
OWN = (VERIFIED, GENUINE, "other people accepted")
SILENCES = ("reconstructions refused", "reconstructions unclear", "real pairs refused", "real pairs unclear")


@dataclass(frozen=True)
class Word:
    """A judge's word, or an evaluator against it.

    Attributes:
        title: The metric that asked, with the evaluator if there is one.
        names: What the columns say, in their order.
        lines: Attacks on defenses, then the controls.
    """

    title: str
    names: tuple[str, ...]
    lines: tuple[Line[str], ...]


@dataclass(frozen=True)
class Outside:
    """Everything of a setup.

    Attributes:
        own: Each judge, by the metric that asked it.
        errors: Each evaluator against each judge.
    """

    own: tuple[Word, ...]
    errors: tuple[Word, ...]


def outside(setup: Setup) -> Outside | None:
    """What was asked of judges from outside; None if nobody was."""
    plain: dict[tuple[str, str | None], dict[str, Column]] = {}
    for c in setup.columns:
        if c.about == Quantity(quantity=c.about.quantity):
            plain.setdefault((c.metric, c.judge), {})[c.about.quantity] = c
    own = [_word(setup, metric, columns, OWN + SILENCES) for (metric, _), columns in plain.items() if OWN[2] in columns]
    errors = [
        _word(setup, f"{judge}, by {metric}", columns, ERRORS)
        for (metric, judge), columns in plain.items()
        if judge and {*ERRORS} <= {*columns}
    ]
    return Outside(tuple(own), tuple(errors)) if own or errors else None


def _word(setup: Setup, title: str, columns: Mapping[str, Column], names: tuple[str, ...]) -> Word:
    asked = {name: columns[name] for name in names if name in columns}
    return Word(title, tuple(asked), tuple(lines(setup, asked)))
