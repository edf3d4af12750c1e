"""What an attacker of each kind recovers, and whether that is more than luck.

Every attack is compared with the luckiest control person by person, by the mean over the fit recognisers: the figure
that leads a leaderboard, which sees more than a count of people does. Holm's correction is over all attacks of all
kinds, since the report names the strongest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from unveil.harness.figures.rows import Results, Row
from unveil.harness.words.names import Access, Direction, Role
from unveil.leaderboard.board import Board, board
from unveil.leaderboard.estimates import Estimate, better, difference
from unveil.leaderboard.figures import BASELINE, setups
from unveil.leaderboard.paired import FEWEST, clear, holm, p_value
from unveil.leaderboard.report.recovery import Recovery, recovery

State = Literal["recovers", "faint", "few", "unknown", "luck", "unscored", "untried", "excluded", "void"]


@dataclass(frozen=True)
class Trial:
    """One attack with what it is compared with.

    Attributes:
        found: What it recovers.
        luck: What luck recovers; None if no such control was scored.
        gap: Share of pictures accepted beyond luck, paired over people; None unless both know the same people.
        p: Corrected for all attacks of the audit; None without a paired difference.
    """

    found: Recovery
    luck: Recovery | None = None
    gap: Estimate | None = None
    p: float | None = None

    @property
    def surely(self) -> bool:
        """Whether it surely does better than luck."""
        if self.luck is None:
            return False
        if self.gap is None or self.p is None:
            return better(self.luck.share, self.found.share, Direction.LEAKS)
        return clear(self.gap, self.p) and self.gap.value > 0

    @property
    def beyond(self) -> int:
        """People recovered beyond what luck gives."""
        return len(self.found.recovered) - (len(self.luck.recovered) if self.luck else 0)

    @property
    def state(self) -> State:
        """What may be said of it."""
        if self.luck is None:
            return "unknown"
        if self.surely:
            return "recovers" if self.beyond > 0 else "faint"
        return "few" if self.found.people < FEWEST and self.beyond > 0 else "luck"


@dataclass(frozen=True)
class Attacker:
    """All attacks that see equally much of the model.

    Attributes:
        access: How much.
        state: What may be said of the strongest; ``unscored`` if none has a number, ``untried`` if none was run,
            ``excluded`` if that would see more than the audit was to allow; ``void`` if the audit itself is at fault.
        trials: Attacks with a number, the strongest first.
        broken: Attacks without one, and why.
    """

    access: Access
    state: State
    trials: tuple[Trial, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def strongest(self) -> Trial | None:
        """The trial that is told of."""
        return next(iter(self.trials), None)


@dataclass(frozen=True)
class Given:
    """The rows of the model that was given, without those of its defended retrainings.

    Attributes:
        data: Name of the data set.
        model: Name of the model in the rows.
        defense: What the rows call the model as it was given.
        boards: One for each kind of attacker, as far as attacks were run; at least one if there is a row.
        rows: The rows.
    """

    data: str
    model: str
    defense: str
    boards: tuple[Board, ...]
    rows: tuple[Row, ...]

    @property
    def board(self) -> Board | None:
        """Any of them: judges and controls are the same for all."""
        return next(iter(self.boards), None)


def given(results: Results) -> Given:
    """Finds the model: the first that no defense is named for, else the first."""
    first = next((r for r in results.rows if r.defense == BASELINE), next(iter(results.rows), None))
    if first is None:
        return Given("", "", BASELINE, (), ())
    name = first.data, first.model, first.defense
    rows = tuple(r for r in results.rows if (r.data, r.model, r.defense) == name)
    alone = results.model_copy(update={"rows": rows})
    return Given(*name, tuple(board(setup, results.judges) for setup in setups(alone)), rows)


def attackers(model: Given, allowed: Access) -> tuple[Attacker, ...]:
    """One for each kind, those who see most first.

    Args:
        model: Its rows.
        allowed: Attacks that see more were not to be run.
    """
    by_access = {b.setup.access: b for b in model.boards}
    trials = _trials([b for access, b in by_access.items() if access], model.defense)
    kinds = list(Access)
    return tuple(
        _attacker(kind, by_access.get(kind), trials.get(kind, ()), kinds.index(kind) < kinds.index(allowed))
        for kind in kinds
    )


def _attacker(kind: Access, found: Board | None, trials: Sequence[Trial], excluded: bool) -> Attacker:
    if found is None:
        return Attacker(kind, "excluded" if excluded else "untried")
    strongest = tuple(sorted(trials, key=_strength, reverse=True))
    scored = {trial.found.attack for trial in trials}
    broken = {a: _why(found, a) for a in found.setup.attacks if a not in scored}
    return Attacker(kind, strongest[0].state if strongest else "unscored", strongest, broken)


def _strength(trial: Trial) -> tuple[bool, int, float]:
    """What is surely no luck first; then whoever recovers most people, and most pictures."""
    return trial.surely, len(trial.found.recovered), trial.found.share.value


def _trials(boards: Sequence[Board], defense: str) -> dict[Access | None, list[Trial]]:
    kinds = [
        (b.setup.access, luck(b, defense), r) for b in boards for a in b.setup.attacks if (r := recovery(b, defense, a))
    ]
    gaps = [difference(r.share, low.share) if low else None for _, low, r in kinds]
    known = [i for i, gap in enumerate(gaps) if gap is not None]
    corrected = dict(zip(known, holm([p_value(gap) for gap in gaps if gap is not None]), strict=True))
    made: dict[Access | None, list[Trial]] = {}
    for i, (access, low, found) in enumerate(kinds):
        made.setdefault(access, []).append(Trial(found, low, gaps[i], corrected.get(i)))
    return made


def luck(found: Board, defense: str) -> Recovery | None:
    """The luckiest control that only luck helps."""
    tried = [r for a in found.setup.named(Role.FLOOR) if (r := recovery(found, defense, a))]
    return max(tried, key=lambda r: (r.share.value, len(r.recovered)), default=None)


def _why(found: Board, attack: str) -> str:
    """Why an attack has no number, in a line."""
    broken = [r.error or "no error was recorded" for r in found.setup.rows if r.attack == attack and r.status != "done"]
    judged = [m for column, m in found.matrices.items() if column.leads and column.judge in found.fit]
    reasons = [reason for m in judged for key, cell in m.cells.items() if key[1] == attack for reason in cell.reasons]
    return next(iter([*broken, *reasons]), "no recogniser that is fit has judged it").split("\n")[0]
