"""What limits a verdict or spoils it, in words: faults of the experiment, unfit judges, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from unveil.harness.words.names import COPIES, Role
from unveil.leaderboard.board import Board
from unveil.leaderboard.estimates import scored
from unveil.leaderboard.figures import Setup
from unveil.leaderboard.judges import judge_warnings
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.wording import listing, number

Tone = Literal["less", "more", "tie", "fault", "warning", "plain"]


@dataclass(frozen=True)
class Point:
    """One finding.

    Attributes:
        tone: ``less`` or ``more`` leakage than the baseline, a ``tie``, a ``fault`` of the benchmark, a ``warning``, or
            plain.
        text: In words.
    """

    tone: Tone
    text: str


def copying(setup: Setup) -> Mapping[str, float]:
    """Largest share of copies among the rows of each attack or control that made any; the ceiling is there to do it."""
    found: dict[str, float] = {}
    for row in setup.rows:
        shares = [f.value or 0.0 for f in row.figures if f.metric == COPIES and scored(f)]
        if row.status == "done" and row.role != Role.CEILING and max(shares, default=0.0) > 0:
            found[row.attack] = max(*shares, found.get(row.attack, 0.0))
    return found


def copies(setup: Setup) -> list[Point]:
    """Attacks and controls that returned private pictures: then the experiment leaks, not the target."""
    return [Point("fault", _copying_sentence(attack, share)) for attack, share in copying(setup).items()]


def left_out(found: Matrix, setup: Setup) -> list[Point]:
    """Defenses that are not compared, and attacks that are not in the averages."""
    attacks = [a for a in setup.attacks if a not in found.common]
    defenses = [d for d in setup.defenses if d not in found.compared]
    texts = [f"Left out of the comparison, since no attack on it was scored: {listing(defenses)}."] if defenses else []
    if attacks and found.compared:
        texts.append(f"Left out of the averages, since not scored on every defense: {listing(attacks)}.")
    return [Point("warning", text) for text in texts]


def unfit_judges(board: Board) -> list[Point]:
    """What judges say of themselves and the controls say of them."""
    said = [(j.name, text) for j in board.judges if j.data == board.setup.data for text in judge_warnings(j)]
    said += [(fault.judge, fault.text) for fault in board.faults]
    return [Point("fault", f"Judge {name} {text}: the benchmark, not the defense, is at fault.") for name, text in said]


def broken_rows(setup: Setup) -> list[Point]:
    """What failed or was blocked."""
    broken: dict[str, list[str]] = {"failed": [], "blocked": []}
    for row in setup.rows:
        if row.status != "done":
            seed = f" (seed {row.seed})" if len(setup.seeds) > 1 else ""
            broken[row.status].append(f"{row.defense} × {row.attack}{seed}")
    return [Point("warning", f"{k.capitalize()}: {listing(v)}.") for k, v in broken.items() if v]


def _copying_sentence(attack: str, share: float) -> str:
    return (
        f"{attack} returns private pictures themselves ({number(share, 'share')} of its reconstructions are one, up to "
        f"a grey level): it did not get them through the target. Either it reads private data, or the public pictures "
        f"hold some. The experiment, not the defense, is at fault."
    )
