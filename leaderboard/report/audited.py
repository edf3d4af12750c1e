"""All that a report says of one audit, computed once; page and JSON only write it down."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.rows import Results
from unveil.harness.words.names import Access
from unveil.leaderboard.report.attackers import Attacker, Given, attackers, given
from unveil.leaderboard.report.certainty import Certainty, certainty
from unveil.leaderboard.report.controls import Control, controls
from unveil.leaderboard.report.exposed import Ranking, ranking
from unveil.leaderboard.report.finding import Finding, finding, worst
from unveil.leaderboard.report.gains import Gain, gains
from unveil.leaderboard.report.people import People, people
from unveil.leaderboard.report.untried import Untried, untried


@dataclass(frozen=True)
class Audited:
    """An audit, understood.

    Attributes:
        facts: What was found out before any attack.
        people: What people are called.
        model: The rows of the given model.
        kinds: What an attacker of each kind gets.
        finding: The first sentence.
        ranking: Who is most exposed.
        certainty: How sure that is.
        controls: What the controls say.
        gains: What each defense would gain and cost.
        untried: What was left out.
    """

    facts: AuditFacts
    people: People
    model: Given
    kinds: tuple[Attacker, ...]
    finding: Finding
    ranking: Ranking
    certainty: Certainty
    controls: tuple[Control, ...]
    gains: tuple[Gain, ...]
    untried: tuple[Untried, ...]

    def kind(self, access: Access) -> Attacker:
        """One kind of attacker."""
        return next(kind for kind in self.kinds if kind.access == access)

    def stands_for(self, attack: str) -> str:
        """What an attack stands for, in a sentence; empty if nobody said."""
        return dict(self.facts.tried).get(attack, "")


def audited(results: Results, facts: AuditFacts, *, private_pictures: bool) -> Audited:
    """Understands an audit.

    Args:
        results: Its rows, judges and pictures.
        facts: What was found out before any attack.
        private_pictures: Whether people may be named and seen although their data set does not allow it.
    """
    called = people(results, given(results).data, private_pictures=private_pictures)
    results, facts = called.hidden(results, facts)
    model = given(results)
    kinds = attackers(model, Access(facts.access))
    found = finding(model, kinds, facts)
    gained = gains(results, model, facts)
    left, ranked = untried(facts, kinds, gained), ranking(worst(kinds))
    if found.state == "nothing":
        kinds = tuple(replace(kind, state="void") if kind.trials else kind for kind in kinds)
        gained, ranked = (), ranking(None)
    return Audited(
        facts, called, model, kinds, found, ranked,
        certainty(model, found.trial), controls(model), gained, left,
    )  # fmt: skip
