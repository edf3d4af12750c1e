"""What a defended target is still good for: whether it beats guessing, and what it costs to be defended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unveil.harness.words.names import MACRO, TOP_1, Quantity
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, difference
from unveil.leaderboard.figures import BASELINE, Cell, Setup
from unveil.leaderboard.wording import full, number, points, span

DEAR = 0.1  # utility that a defense may cost before its protection is told together with its price
ACCURACIES = tuple(
    Quantity(quantity=word) for word in (TOP_1, MACRO)
)  # of these, and of no other column, guessing gives one in the number of people


@dataclass(frozen=True)
class Worth:
    """The usefulness of one defended target.

    Attributes:
        utility: Its utility; None if that was not scored.
        chance: What guessing gets right; None where that is not known.
        loss: The undefended target's utility minus its own, paired; None if unknown, and of the undefended itself.
    """

    utility: Estimate | None = None
    chance: float | None = None
    loss: Estimate | None = None

    @property
    def useless(self) -> bool:
        """Whether it cannot be told apart from guessing."""
        return self.utility is not None and self.chance is not None and self.utility.ends[0] <= self.chance

    @property
    def dear(self) -> bool:
        """Whether it surely costs more than ``DEAR``."""
        return self.loss is not None and self.loss.low is not None and self.loss.low > DEAR

    @property
    def price(self) -> str:
        """The loss in words, such as ``60 points [52, 67]``."""
        if self.loss is None:
            return ""
        known = self.loss.high is not None
        return f"{points(self.loss, 'share')} points{' ' + span(self.loss, 'share') if known else ''}"


def worths(setup: Setup, useful: Mapping[str, Cell]) -> Mapping[str, Worth]:
    """By defense; chance and loss are known only where utility is a share.

    Args:
        setup: The rows.
        useful: The setup's utility by defense; empty if it has none.
    """
    column = setup.utility
    if column is None:
        return {d: Worth() for d in setup.defenses}
    known = {d: cell.estimate for d, cell in useful.items()}
    base = known.get(BASELINE)
    return {
        d: Worth(mine, _chance(mine, column), _loss(mine, base) if column.is_share and d != BASELINE else None)
        for d, mine in known.items()
    }


def utility_sentence(setup: Setup, worth: Mapping[str, Worth]) -> str:
    """The utility of every defense with its price, in one sentence; empty if none was scored."""
    column, parts = setup.utility, []
    for defense, mine in worth.items() if column else ():
        if mine.utility is not None and column is not None:
            parts.append(f"{defense} {full(mine.utility, column.unit)}{_cost(mine)}")
    return f"Utility ({column.column}): {'; '.join(parts)}." if parts and column else ""


def useless_sentence(defense: str, worth: Worth) -> str:
    """Why a useless defense is called so."""
    mine, chance = worth.utility, worth.chance
    assert mine is not None
    assert chance is not None
    return (
        f"{defense} is useless: its utility, {full(mine, 'share')}, cannot be told apart from guessing "
        f"({number(chance, 'share')} among {mine.identities} people). What it leaks says nothing about protection."
    )


def _chance(mine: Estimate | None, column: Column) -> float | None:
    if mine is None or not column.is_share or column.about not in ACCURACIES or mine.identities < 2:
        return None
    return 1 / mine.identities


def _loss(mine: Estimate | None, base: Estimate | None) -> Estimate | None:
    """Paired where the people are the same, else what intervals that share no point leave between them."""
    if mine is None or base is None:
        return None
    if (gap := difference(base, mine)) is not None:
        return gap
    if not mine.apart(base):
        return Estimate(base.value - mine.value)
    (low, high), (least, most) = mine.ends, base.ends
    return Estimate(base.value - mine.value, least - high, most - low)


def _cost(worth: Worth) -> str:
    if worth.useless:
        return ", useless"
    if worth.loss is None:
        return ""
    low, high = worth.loss.ends
    if worth.loss.low is None or low <= 0 <= high:
        return ", a tie"
    if high < 0:
        return ", more useful"
    return f", a price of {worth.price}" if worth.dear else ", less useful"
