"""A report as JSON: for whoever keeps many of them, or compares two."""

from __future__ import annotations

from typing import Any

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.rows import Figure, Results
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.report.advice import advice
from unveil.leaderboard.report.attackers import Attacker, Trial
from unveil.leaderboard.report.audited import Audited, audited
from unveil.leaderboard.report.certainty import Certainty
from unveil.leaderboard.report.finding import told
from unveil.leaderboard.report.gains import Gain
from unveil.leaderboard.report.recovery import Recovery
from unveil.leaderboard.report.schema import (
    AdvicePart,
    AttackerPart,
    AttackPart,
    CertaintyPart,
    ControlPart,
    CountPart,
    FindingPart,
    GainPart,
    Interval,
    PersonPart,
    RecogniserPart,
    Summary,
    UntriedPart,
)


def summary(results: Results, facts: AuditFacts, *, private_pictures: bool = False) -> dict[str, Any]:
    """The JSON, see `unveil.leaderboard.report.schema`.

    Args:
        results: Rows, judges and pictures of the audit.
        facts: What was found out before any attack.
        private_pictures: Name people although their data set does not allow it.
    """
    audit = audited(results, facts, private_pictures=private_pictures)
    made = Summary(
        title=audit.facts.model,
        audit=audit.facts.as_dict(),
        finding=_finding(audit),
        attackers=tuple(_attacker(audit, kind) for kind in audit.kinds),
        people=_people(audit),
        certainty=_certainty(audit.certainty),
        controls=_controls(audit),
        defenses=tuple(map(_gain, audit.gains)),
        not_tried=tuple(UntriedPart(name=u.name, why=u.why, failed=u.failed) for u in audit.untried),
        advice=tuple(AdvicePart(rule=a.rule, text=a.text, because=a.because) for a in advice(audit)),
    )
    return made.model_dump(mode="json")


def _finding(audit: Audited) -> FindingPart:
    found = audit.finding
    said = FindingPart(state=found.state, sentence=found.lead, beside=found.beside, attacker=found.access)
    if found.trial is None:
        return said
    one, (low, high) = found.trial.found, found.trial.found.ends
    numbers = {
        "attack": one.attack,
        "recovered": len(one.recovered),
        "people": one.people,
        "share": Interval(value=len(one.recovered) / one.people, low=low, high=high),
        "recognisers_needed": one.needed,
        "recognisers": len(one.judges),
        "recovered_by_luck": _recovered(found.trial.luck),
    }
    return said.model_copy(update=numbers)


def _attacker(audit: Audited, kind: Attacker) -> AttackerPart:
    attacks = tuple(_attack(trial, audit.stands_for(trial.found.attack)) for trial in kind.trials)
    return AttackerPart(access=kind.access, state=kind.state, sentence=told(kind), attacks=attacks)


def _attack(trial: Trial, stands_for: str) -> AttackPart:
    return AttackPart(
        attack=trial.found.attack,
        stands_for=stands_for,
        recovered=len(trial.found.recovered),
        people=trial.found.people,
        accepted=_known(trial.found.share),
        recovered_by_luck=_recovered(trial.luck),
        p=trial.p,
        surely_more_than_luck=trial.surely,
    )


def _people(audit: Audited) -> tuple[PersonPart, ...]:
    return tuple(
        PersonPart(
            person=audit.people.call(p.label),
            class_label=p.label,
            recovered=p.recovered,
            recognisers=p.judges,
            accepted=_known(p.share),
            rank=(p.best, p.worst),
        )
        for p in audit.ranking.people
    )


def _certainty(sure: Certainty) -> CertaintyPart:
    recognisers = tuple(
        RecogniserPart(
            name=r.judge.name,
            model=r.judge.model,
            fit=r.fit,
            faults=r.faults,
            accepts_held_out_private=_figure(r.knows_people),
            takes_strangers=_figure(r.takes_strangers),
        )
        for r in sure.recognisers
    )
    counts = tuple(
        CountPart(recognisers_needed=c.needed, recovered=dict(c.attack), recovered_by_luck=dict(c.luck))
        for c in sure.counts
    )
    return CertaintyPart(
        recognisers=recognisers,
        seeds=sure.seeds,
        people=sure.people,
        pictures_each=sure.pictures,
        detectable=sure.detectable,
        counts=counts,
    )


def _controls(audit: Audited) -> tuple[ControlPart, ...]:
    return tuple(
        ControlPart(
            control=c.name,
            role=c.role,
            recovered=_recovered(c.found),
            people=c.found.people if c.found else None,
            accepted=_interval(c.found.share if c.found else None),
            fault=c.fault,
            text=c.text,
        )
        for c in audit.controls
    )


def _gain(gain: Gain) -> GainPart:
    return GainPart(
        defense=gain.defense,
        attacker=gain.access,
        side=gain.side,
        accepted=_interval(gain.leak),
        accepted_undefended=_interval(gain.undefended),
        difference=_interval(gain.gap),
        recovered=_recovered(gain.after),
        recovered_undefended=_recovered(gain.before),
        utility=_interval(gain.worth.utility),
        utility_lost=_interval(gain.worth.loss),
    )


def _recovered(found: Recovery | None) -> int | None:
    return None if found is None else len(found.recovered)


def _known(estimate: Estimate) -> Interval:
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high)


def _interval(estimate: Estimate | None) -> Interval | None:
    return None if estimate is None else _known(estimate)


def _figure(figure: Figure | None) -> Interval | None:
    if figure is None or figure.value is None:
        return None
    return Interval(value=figure.value, low=figure.low, high=figure.high)
