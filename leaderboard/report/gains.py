"""What each defense would gain and cost: retrained with it, against the same attacks, compared with no defense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.rows import Results
from unveil.harness.words.names import Access
from unveil.leaderboard.board import Board, board
from unveil.leaderboard.comparing import Comparison, comparisons
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import BASELINE, setups
from unveil.leaderboard.report.attackers import Given
from unveil.leaderboard.report.recovery import Recovery, recovery
from unveil.leaderboard.worth import Worth

Side = Literal["less", "more", "tie", "useless", "unscored", "reference"]


@dataclass(frozen=True)
class Gain:
    """One defense against one kind of attacker.

    Attributes:
        defense: Name of the defense.
        access: The kind.
        side: Whether it surely leaks ``less`` or ``more``, cannot be told apart (``tie``), is ``useless`` (no better
            than guessing), was not scored, or is the ``reference``: no defense, trained in the same way.
        leak: Share of the attacks' pictures accepted, averaged over the attacks and the fit recognisers.
        undefended: The same without a defense.
        gap: Their difference, paired over people.
        before: Whom the strongest attack recovers without it.
        after: And with it.
        worth: What it is good for, and costs.
    """

    defense: str
    access: Access
    side: Side
    leak: Estimate | None = None
    undefended: Estimate | None = None
    gap: Estimate | None = None
    before: Recovery | None = None
    after: Recovery | None = None
    worth: Worth = field(default_factory=Worth)

    @property
    def helps(self) -> bool:
        """Whether it surely leaks less and does not surely cost much."""
        return self.side == "less" and not self.worth.dear


def gains(results: Results, model: Given, facts: AuditFacts) -> tuple[Gain, ...]:
    """Of each defense that was asked for, by kind of attacker, the reference first.

    Args:
        results: All rows.
        model: The given model, whose data set it is about.
        facts: Which defenses, and what they are compared with.
    """
    made: list[Gain] = []
    again = any(row.defense == facts.reference for row in results.rows)
    for setup in setups(_compared(results, model, facts.reference) if again else results) if facts.defenses else ():
        mine = [d for d in facts.defenses if d in setup.defenses]
        if setup.data == model.data and setup.access and mine:
            found = board(setup, results.judges)
            made += [_reference(found, setup.access, facts.reference)] if again else []
            made += [_gain(found, setup.access, d) for d in mine]
    return tuple(made)


def _compared(results: Results, model: Given, reference: str) -> Results:
    """The rows, with the retraining without a defense in the place of the given model."""
    given = model.data, model.model, model.defense
    others = [row for row in results.rows if (row.data, row.model, row.defense) != given]
    rows = tuple(r.model_copy(update={"defense": BASELINE}) if r.defense == reference else r for r in others)
    return results.model_copy(update={"rows": rows})


def _reference(found: Board, access: Access, name: str) -> Gain:
    matrix, attacks = found.headline, found.setup.attacks
    leak = matrix.means.get(BASELINE) if matrix and matrix.column.leads and found.fit else None
    tried = [r for a in attacks if (r := recovery(found, BASELINE, a))]
    best = max(tried, key=lambda r: (len(r.recovered), r.share.value), default=None)
    side: Side = "reference" if leak else "unscored"
    return Gain(name, access, side, leak, after=best, worth=found.worths.get(BASELINE, Worth()))


def _gain(found: Board, access: Access, defense: str) -> Gain:
    matrix, worth = found.headline, found.worths[defense]
    compared = {c.defense: c for c in comparisons(matrix)} if matrix and matrix.column.leads and found.fit else {}
    if matrix is None or defense not in compared:
        return Gain(defense, access, "unscored", worth=worth)
    told: Comparison = compared[defense]
    pairs = [
        (b, a)
        for x in found.setup.attacks
        if (b := recovery(found, BASELINE, x)) and (a := recovery(found, defense, x))
    ]
    before, after = max(pairs, key=lambda pair: (len(pair[0].recovered), pair[0].share.value), default=(None, None))
    side: Side = "useless" if worth.useless else told.side
    return Gain(defense, access, side, matrix.means[defense], matrix.means[BASELINE], told.gap, before, after, worth)
