"""What to do next: plain advice, each piece by a rule of its own, from what was found and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from unveil.harness.words.names import Access, Role
from unveil.leaderboard.report.attackers import Attacker
from unveil.leaderboard.report.audited import Audited
from unveil.leaderboard.report.finding import ALARMING, worst
from unveil.leaderboard.report.gains import Gain
from unveil.leaderboard.report.phrases import SEES
from unveil.leaderboard.wording import listing, number, plural, points, span

SURE = 0.8  # share of the given pictures that a model should name rightly before its class order is believed
NAMED = 6  # people who are listed by name


@dataclass(frozen=True)
class Advice:
    """One piece.

    Attributes:
        rule: Name of the rule it follows by.
        text: What to do.
        because: The finding that it follows from.
    """

    rule: str
    text: str
    because: str


def advice(audit: Audited) -> tuple[Advice, ...]:
    """All that follows, what matters most first."""
    return tuple(
        (*_mend(audit), *_protect(audit), *_defend(audit), *_persons(audit), *_learn_more(audit), *_again(audit))
    )


def _mend(audit: Audited) -> Iterator[Advice]:
    """What is wrong with the audit itself."""
    facts, sure = audit.facts, audit.certainty
    broken = [r.judge.name for r in sure.recognisers if r.judge.status != "done"]
    if broken:
        why = f"{listing(broken)} could not judge: see how sure this is."
        yield Advice("broken recognisers", "Have the recognisers that failed made again.", why)
    if audit.model.rows and not sure.fit and len(broken) < len(sure.recognisers):
        text = (
            "Give the recognisers twenty pictures or more of each person to learn from, or use a trained face embedder"
        )
        yield Advice("unfit recognisers", f"{text}.", "No recogniser is fit to judge, so nothing can be said.")
    if facts.people_checked and facts.accuracy < SURE and facts.order != "declared":
        text = "Say in which order the model’s classes stand for the people, and how it normalises pictures"
        named = f"It names only {number(facts.accuracy, 'share')} of the given pictures rightly"
        yield Advice("class order", f"{text}.", f"{named}, and its class order was found {_order(facts.order)}.")
    fooled = [c for c in audit.controls if c.fault and c.role == Role.GULLIBILITY and c.found]
    if fooled and audit.finding.state in ALARMING:
        text = "Look at the pictures yourself before you act on this report (--private-pictures shows them sharp)"
        yield Advice("likeness", f"{text}.", f"{listing([c.name for c in fooled])}: {fooled[0].text}")


def _order(order: str) -> str:
    return {"by accuracy": "by trying which fits best", "sorted names": "by sorting the people’s names"}[order]


def _protect(audit: Audited) -> Iterator[Advice]:
    """Who must not get what."""
    if audit.finding.state == "nothing":
        return
    leader = worst(audit.kinds)
    if leader:
        text = "Keep the model’s file as you keep the photographs: do not ship it, nor leave it where it can be copied"
        too = "" if leader.access == Access.WHITE_BOX else " Whoever has the weights can do that, too."
        yield Advice("weights leak", f"{text}.", _because(leader) + too)
    scores, labels = audit.kind(Access.SCORES), audit.kind(Access.LABELS)
    if labels.state in ALARMING:
        text = "Limit who may ask the model, and how often; to hide its scores is not enough"
        yield Advice("answers leak", f"{text}.{_asked(labels)}", _because(labels))
    elif scores.state in ALARMING:
        tried = labels.state == "luck"
        whether = (
            "against that attacker no attack tried did better than luck"
            if tried
            else "whether that is enough was not tried"
        )
        text = f"Let the model answer with a name only ({whether}), and limit how often it may be asked"
        yield Advice("scores leak", f"{text}.{_asked(scores)}", _because(scores))
    if audit.finding.state == "luck":
        text = "Do not publish the model on the strength of this report alone; let somebody try longer first"
        yield Advice("luck only", f"{text}.", "No attack tried did better than luck, and others may.")


def _because(kind: Attacker) -> str:
    found = kind.strongest.found if kind.strongest else None
    if found is None:
        return ""
    most = "surely more than luck" if kind.state == "recovers" else "not surely more than luck"
    most = "more pictures than luck, though" if kind.state == "faint" else most
    people = f"{len(found.recovered)} of {plural(found.people, 'person', 'people')}"
    return f"Whoever {SEES[kind.access]} recovers {people} ({most})."


def _asked(kind: Attacker) -> str:
    """How often the strongest attack asked, where it did."""
    found = kind.strongest.found if kind.strongest else None
    if found is None or not found.queries:
        return ""
    times = number(found.queries, "queries")
    return f" The strongest attack, {found.attack}, had it answer for about {times} pictures of each person."


def _defend(audit: Audited) -> Iterator[Advice]:
    found = audit.finding
    if found.state == "nothing":
        return
    if not audit.facts.defenses:
        if found.state in ALARMING:
            text = "Have the model retrained with defenses, and see what each would gain and cost (--with-defenses)"
            yield Advice("no defense tried", f"{text}.", "The model gives something away, and no defense was tried.")
        return
    mine = [g for g in audit.gains if found.access in (None, g.access) and g.side != "reference"]
    if helps := [g for g in mine if g.helps]:
        best = min(helps, key=lambda g: g.gap.value if g.gap else 0.0)
        yield Advice("a defense helps", f"Retrain with {best.defense}.", _gained(best))
    elif dear := [g for g in mine if g.side == "less"]:
        best = min(dear, key=lambda g: g.worth.loss.value if g.worth.loss else 0.0)
        yield Advice("a defense helps dearly", f"Ask whether {best.defense} is worth its price.", _gained(best))
    elif mine:
        tried = listing(list(dict.fromkeys(g.defense for g in mine)))
        text = "Do not count on the defenses tried to protect anybody"
        yield Advice("no defense helps", f"{text}.", f"None of them surely lowers what is recovered: {tried}.")


def _gained(gain: Gain) -> str:
    gap = gain.gap
    leak = f"{points(gap, 'share')} points {span(gap, 'share')} of the pictures accepted" if gap else "less is accepted"
    loss = gain.worth.loss
    if loss is None:
        return f"{gain.defense}: {leak}."
    sure = loss.low is not None and loss.low > 0
    cost = f"at a price of {gain.worth.price}" if sure else f"at no sure price ({gain.worth.price}"
    return f"{gain.defense}: {leak}, {cost} of utility{'' if sure else ')'}."


def _persons(audit: Audited) -> Iterator[Advice]:
    found, ranked = audit.finding, audit.ranking
    if found.state not in ALARMING or not found.trial or not found.trial.found.recovered:
        return
    if ranked.settled:
        who = listing([audit.people.call(p.label) for p in ranked.settled[:NAMED]])
        more = f" and {len(ranked.settled) - NAMED} more" if len(ranked.settled) > NAMED else ""
        text = f"Ask first whether the pictures of {who}{more} must be in the training data"
        yield Advice("most exposed", f"{text}.", "They are surely among the more exposed half of the people.")
    else:
        text = "Treat everybody the model knows as exposed, not only those who were recovered"
        yield Advice("all exposed", f"{text}.", "Few pictures were made of each person, too few to say who is safer.")


def _learn_more(audit: Audited) -> Iterator[Advice]:
    """What would make the next report surer."""
    state = audit.finding.state
    if state == "unknown":
        yield Advice(
            "no luck measured",
            "Run the audit again with its control for luck.",
            "Without it no success is known to be more than luck.",
        )
    if state == "few":
        yield Advice(
            "few people",
            "Audit more of the people the model knows.",
            f"Only {plural(audit.certainty.people, 'person was', 'people were')} attacked.",
        )
    failed = [u.name for u in audit.untried if u.failed]
    if failed and audit.certainty.fit:
        yield Advice("failed", "Have what failed run again.", f"Without a number: {listing(failed)}.")
    if left := [name for name, _ in audit.facts.not_tried]:
        text = "Give the audit more time or more access" if audit.facts.budget is not None else "Try what was left out"
        yield Advice("left out", f"{text} if much hangs on it.", f"Not tried: {listing(left)}.")


def _again(audit: Audited) -> Iterator[Advice]:
    text = "Audit again whenever the model is trained again, even on the same pictures"
    yield Advice(
        "another model", f"{text}.", f"This report is about the file with SHA-256 {audit.facts.checksum[:12]}… alone."
    )
