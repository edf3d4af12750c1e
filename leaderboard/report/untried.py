"""What was not tried, or was and has no number, and why: an audit is no better than what it left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.words.names import Access
from unveil.leaderboard.report.attackers import Attacker
from unveil.leaderboard.report.gains import Gain
from unveil.leaderboard.report.phrases import KINDS
from unveil.leaderboard.wording import listing


@dataclass(frozen=True)
class Untried:
    """One thing.

    Attributes:
        name: What.
        why: In words.
        failed: Whether it was tried.
    """

    name: str
    why: str
    failed: bool = False


def untried(facts: AuditFacts, kinds: Sequence[Attacker], gained: Sequence[Gain]) -> tuple[Untried, ...]:
    """All of it: what the audit left out, kinds of attackers, attacks and defenses without a number."""
    return tuple((*_left_out(facts, kinds), *_failed(facts, kinds, gained)))


def _left_out(facts: AuditFacts, kinds: Sequence[Attacker]) -> Iterator[Untried]:
    yield from (Untried(name, why) for name, why in facts.not_tried)
    excluded = [kind.access for kind in kinds if kind.state == "excluded"]
    if excluded:
        who = listing([f"“{KINDS[access]}”" for access in excluded], "or")
        limit = f"the audit was limited to attackers of the kind “{KINDS[Access(facts.access)]}” and those who see less"
        yield Untried(f"attackers of the kind {who}", limit)
    for kind in kinds:
        if kind.state == "untried":
            yield Untried(f"attackers of the kind “{KINDS[kind.access]}”", "no attack of this kind was run")


def _failed(facts: AuditFacts, kinds: Sequence[Attacker], gained: Sequence[Gain]) -> Iterator[Untried]:
    for kind in kinds:
        yield from (Untried(attack, why, failed=True) for attack, why in kind.broken.items())
    for defense in facts.defenses:
        mine = [gain for gain in gained if gain.defense == defense]
        if all(gain.side == "unscored" for gain in mine):
            yield Untried(defense, "no attack on a model retrained with this defense has a number", failed=True)
