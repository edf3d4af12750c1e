"""Shares of success on the scale that the controls make: above the floor, and how much of the way to the ceiling.

The floor is what luck scores on the same defense by the same judge, the ceiling what held-out private pictures score.
Intervals are bootstraps over people, widened for seeds (`unveil.leaderboard.resampling`); a draw takes the same people
for the attack, its floor and its ceiling. Where fewer than ten people differ a bootstrap hardly sees any spread: there
the interval is no narrower than Newcombe's for a difference (Statistics in Medicine 17, 1998, method 10), from the two
intervals that the shares have by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unveil.harness.figures.intervals import FEW
from unveil.harness.figures.rows import Judge
from unveil.harness.words.names import Direction, Role
from unveil.leaderboard.columns import Column
from unveil.leaderboard.estimates import Estimate, better, difference, estimate, scored
from unveil.leaderboard.figures import BASELINE, Setup
from unveil.leaderboard.judges import CEILING_MIN, FLOOR_MAX, is_ceiling
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.resampling import REACHED, Drawn
from unveil.leaderboard.strengths import averaged
from unveil.leaderboard.tradeoff import Answer
from unveil.leaderboard.wording import full, listing, number

ANY = (-math.inf, math.inf)
GULLIBLE = 0.5  # a judge that accepts more than this part of what it accepts of the attacks is easily fooled
USUAL = {Role.FLOOR: "random_latents", Role.CEILING: "held_out_private"}  # the built-in controls
WHAT = {"pixel_adversarial": "adversarial pixels", "public_lookalikes": "public look-alikes"}


@dataclass(frozen=True)
class Ends:
    """What the controls say for one defense.

    Attributes:
        floor: What luck scores.
        ceiling: What real pictures score.
        fooled: What pictures of others score, by control.
    """

    floor: Answer
    ceiling: Answer
    fooled: Mapping[str, Estimate]

    @property
    def ticks(self) -> tuple[tuple[str, float], ...]:
        """Kind and place of the marks on a bar, in percent."""
        found = [("floor", self.floor.estimate), ("ceiling", self.ceiling.estimate)]
        found += [("fooled", e) for e in self.fooled.values()]
        return tuple((kind, round(100 * e.value, 1)) for kind, e in found if e)


@dataclass(frozen=True)
class Scaled:
    """One attack on one defense.

    Attributes:
        defense: The defense.
        attack: The attack.
        raw: The share as judged.
        above: Share minus floor.
        way: That, by ceiling minus floor.
        ends: Of its defense.
    """

    defense: str
    attack: str
    raw: Estimate
    above: Answer
    way: Answer
    ends: Ends


@dataclass(frozen=True)
class Scale:
    """All scored cells of a column.

    Attributes:
        column: A share of success.
        lines: In the order of the rows.
        gullibility: In words; empty without such a control.
    """

    column: Column
    lines: tuple[Scaled, ...]
    gullibility: str


@dataclass(frozen=True)
class Fault:
    """What the controls say against a judge.

    Attributes:
        judge: Its name.
        text: In words, to follow the name.
        voids: Whether nothing can be concluded about a defense.
    """

    judge: str
    text: str
    voids: bool


def scales(setup: Setup, matrices: Sequence[Matrix], judges: Sequence[Judge]) -> tuple[Scale, ...]:
    """One for each share of success and judge, the headline's first.

    Args:
        setup: The rows.
        matrices: Of the setup.
        judges: Whose own ceiling stands in where no held-out private pictures were judged as an attack.
    """
    wanted = [m for m in matrices if m.column.judge and m.column.is_share and m.column.direction == Direction.LEAKS]
    made = (Scale(m.column, _lines(setup, m, judges), _gullibility(setup, m)) for m in wanted)
    return tuple(scale for scale in made if scale.lines)


def faults(setup: Setup, matrices: Sequence[Matrix], judges: Sequence[Judge]) -> tuple[Fault, ...]:
    """What the controls say against each judge, by attack accuracy top-1, beyond what it says of itself.

    Args:
        setup: The rows.
        matrices: Of the setup.
        judges: What they say of themselves.
    """
    wanted = [m for m in matrices if m.column.leads and m.column.judge and m.column.direction == Direction.LEAKS]
    return tuple(fault for m in wanted for fault in _faults(setup, m, judges))


def _lines(setup: Setup, m: Matrix, judges: Sequence[Judge]) -> tuple[Scaled, ...]:
    ends = {d: _ends(setup, m, d, judges) for d in setup.defenses}
    cells = {(d, a): e for d in setup.defenses for a in setup.attacks if (e := _estimate(setup, m, d, a))}
    return tuple(Scaled(d, a, raw, *_placed(raw, ends[d]), ends[d]) for (d, a), raw in cells.items())


def _ends(setup: Setup, m: Matrix, defense: str, judges: Sequence[Judge]) -> Ends:
    ceiling = _control(setup, m, defense, Role.CEILING)
    fooled = {a: e for a in setup.named(Role.GULLIBILITY) if (e := _estimate(setup, m, defense, a))}
    own = _own_ceiling(setup, m.column, judges) if ceiling.estimate is None else None
    return Ends(_control(setup, m, defense, Role.FLOOR), Answer(own) if own else ceiling, fooled)


def _control(setup: Setup, m: Matrix, defense: str, role: Role) -> Answer:
    names = setup.named(role)
    parts = [e for a in names if (e := _estimate(setup, m, defense, a))]
    if parts:
        return Answer(averaged(parts, m.column))
    why = [reason.split("\n")[0] for a in names for reason in m.cells[defense, a].reasons]
    return Answer(reason=f"no {role}: {why[0] if why else f'{USUAL[role]} was not run'}")


def _own_ceiling(setup: Setup, column: Column, judges: Sequence[Judge]) -> Estimate | None:
    """The judge's figure for real pictures: top-1 among all that it knows, so it is the ceiling of nothing else."""
    if not column.leads:
        return None
    mine = [j for j in judges if (j.data, j.name) == (setup.data, column.judge)]
    found = [f for j in mine for f in j.figures if is_ceiling(f) and scored(f)]
    return estimate(found[0]) if found else None


def _estimate(setup: Setup, m: Matrix, defense: str, attack: str) -> Estimate | None:
    """As in the matrix; where seeds attacked different people, each person has the mean over their own seeds."""
    found = m.cells[defense, attack].estimate
    if found is None or found.per_identity:
        return found
    done = [one for one in setup.measured[defense, attack] if one.row.status == "done"]
    named = [(one.row.seed, one.figures.get(m.column.name)) for one in done]
    figures = [(seed, f) for seed, f in named if f is not None and scored(f)]
    return averaged([estimate(f, seed) for seed, f in figures], m.column)


def _placed(raw: Estimate, ends: Ends) -> tuple[Answer, Answer]:
    """Above the floor, and share of the way to the ceiling."""
    low, high = ends.floor.estimate, ends.ceiling.estimate
    if low is None:
        return ends.floor, ends.floor
    drawn = Drawn([raw, low])
    x, floor = drawn.means
    above = _above(raw, low, drawn.interval(x - floor, ANY))
    if high is None:
        return Answer(above), ends.ceiling
    if high.value <= low.value:
        told = f"the ceiling ({number(high.value, 'share')}) is not above the floor ({number(low.value, 'share')})"
        return Answer(above), Answer(reason=told)
    return Answer(above), _way(raw, low, high, above)


def _way(raw: Estimate, floor: Estimate, ceiling: Estimate, above: Estimate) -> Answer:
    """(raw - floor) / (ceiling - floor); without a number where the ends cannot be told apart."""
    drawn = Drawn([raw, floor, ceiling])
    x, low, high = drawn.means
    whole = high - low
    parts = np.divide(x - low, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    if (good := drawn.reached(parts)) < REACHED:
        told = f"the ceiling is too near the floor: above it in only {math.floor(100 * good)} % of the resamples"
        return Answer(reason=told)
    found = drawn.interval(parts, ANY)
    if None in (found.low, found.high, above.low, above.high):
        return Answer(found)
    ends = [end / float(whole[0]) for end in above.ends]
    return Answer(replace(found, low=min(found.ends[0], ends[0]), high=max(found.ends[1], ends[1])))


def _above(raw: Estimate, floor: Estimate, found: Estimate) -> Estimate:
    """No narrower than Newcombe's interval where few people differ, and within the possible."""
    if found.low is None or found.high is None or None in (raw.low, raw.high, floor.low, floor.high):
        return found
    shared = raw.per_identity.keys() & floor.per_identity.keys()
    low, high = found.ends
    if sum(raw.per_identity[k] != floor.per_identity[k] for k in shared) < FEW:
        (a, b), (c, d) = raw.ends, floor.ends
        low = min(low, found.value - math.hypot(raw.value - a, d - floor.value))
        high = max(high, found.value + math.hypot(b - raw.value, floor.value - c))
    return replace(found, low=max(low, -1.0), high=min(high, 1.0))


def _pooled(setup: Setup, m: Matrix, attacks: Sequence[str], defenses: Sequence[str]) -> Estimate | None:
    parts = [e for d in defenses for a in attacks if (e := _estimate(setup, m, d, a))]
    return averaged(parts, m.column) if parts else None


def _gullibility(setup: Setup, m: Matrix) -> str:
    found = {a: _pooled(setup, m, [a], setup.defenses) for a in setup.named(Role.GULLIBILITY)}
    told = [f"{full(e, 'share')} of {_what(a)}" for a, e in found.items() if e]
    over = ", averaged over the defenses" if len(setup.defenses) > 1 else ""
    return f"{m.column.judge} accepts {listing(told)}, which show somebody else{over}." if told else ""


def _what(control: str) -> str:
    return f"{WHAT[control]} ({control})" if control in WHAT else f"the pictures of {control}"


def _faults(setup: Setup, m: Matrix, judges: Sequence[Judge]) -> list[Fault]:
    judge, everywhere = m.column.judge or "", setup.defenses
    ceiling, low = (_pooled(setup, m, setup.named(role), everywhere) for role in (Role.CEILING, Role.FLOOR))
    found = []
    if ceiling and ceiling.value < CEILING_MIN and not _said(setup, judge, judges):
        found.append(
            Fault(
                judge, f"accepts only {number(ceiling.value, 'share')} of held-out private pictures, the ceiling", True
            )
        )
    if low and low.value > FLOOR_MAX:
        found.append(Fault(judge, f"accepts {number(low.value, 'share')} of what luck makes, the floor", True))
    return found + _fooled(setup, m, judge, low)


def _surely_more(mine: Estimate, luck: Estimate) -> bool:
    """Person by person where they are the same, else by intervals that share no point."""
    gap = difference(mine, luck)
    if gap is None or gap.low is None:
        return better(luck, mine, Direction.LEAKS)
    return gap.low > 0


def _said(setup: Setup, judge: str, judges: Sequence[Judge]) -> bool:
    """Whether the judge's own ceiling is known to be low."""
    own = [f for j in judges if (j.data, j.name, j.status) == (setup.data, judge, "done") for f in j.figures]
    return any(is_ceiling(f) and scored(f) and f.unit == "share" and (f.value or 0) < CEILING_MIN for f in own)


def _fooled(setup: Setup, m: Matrix, judge: str, luck: Estimate | None) -> list[Fault]:
    """On the undefended target where there is one: a good defense makes attacks weak, which is no judge's fault."""
    on = [d for d in setup.defenses if d == BASELINE and any(m.cells[d, a].estimate for a in setup.attacks)]
    on = on or list(setup.defenses)
    attacks = _pooled(setup, m, setup.attacks, on)
    made = []
    for control in setup.named(Role.GULLIBILITY):
        mine = _pooled(setup, m, [control], on)
        if not (mine and attacks) or mine.value <= GULLIBLE * attacks.value or (luck and not _surely_more(mine, luck)):
            continue
        told = (
            f"accepts {number(mine.value, 'share')} of {_what(control)}, more than half of the "
            f"{number(attacks.value, 'share')} that it accepts of the attacks"
        )
        made.append(Fault(judge, told, False))
    return made
