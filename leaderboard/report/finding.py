"""The first sentence of a report, and those that must stand beside it. Only what the rows allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.intervals import wilson
from unveil.harness.words.names import Access
from unveil.leaderboard.complaints import copying
from unveil.leaderboard.judges import judge_warnings
from unveil.leaderboard.report.attackers import Attacker, Given, State, Trial
from unveil.leaderboard.report.phrases import WHO, between, counted, recognisers
from unveil.leaderboard.report.recovery import Recovery
from unveil.leaderboard.wording import listing, number, plural

ALARMING: tuple[State, ...] = ("recovers", "few", "unknown", "faint")  # the worst first


@dataclass(frozen=True)
class Finding:
    """What came out.

    Attributes:
        state: ``recovers``: some people, surely more than luck. ``faint``: more pictures than luck, but hardly anybody
            by most of them. ``few``: too few people to tell it from luck. ``unknown``: luck was not measured.
            ``luck``: nothing more than luck. ``nothing``: nothing can be said.
        lead: The first sentence.
        beside: Sentences without which the first would mislead.
        access: Of the attacker that it speaks of; None where it speaks of none.
        trial: The attack that it speaks of.
    """

    state: State | Literal["nothing"]
    lead: str
    beside: tuple[str, ...] = ()
    access: Access | None = None
    trial: Trial | None = None


def finding(model: Given, kinds: Sequence[Attacker], facts: AuditFacts) -> Finding:
    """Puts the strongest attacker in words, or why nothing can be said."""
    if doubt := _doubt(model, kinds, facts):
        return Finding("nothing", f"Nothing can be said about what this model gives away: {doubt}.")
    leader = worst(kinds)
    if leader is None or leader.strongest is None:
        return _luck(kinds)
    trial = leader.strongest
    lead, *beside = _told(leader.state, trial)
    said = (*beside, *_others(leader, kinds))
    return Finding(leader.state, f"{WHO[leader.access]} {lead}", said, leader.access, trial)


def worst(kinds: Sequence[Attacker]) -> Attacker | None:
    """Who recovers most people, of those who do best; where two do alike, who sees less. None where all have luck."""
    for state in ALARMING:
        found = [k for k in kinds if k.state == state and k.strongest]
        if found:
            return max(reversed(found), key=lambda k: len(k.strongest.found.recovered) if k.strongest else 0)
    return None


def _doubt(model: Given, kinds: Sequence[Attacker], facts: AuditFacts) -> str:
    """Why nothing can be said; empty if something can."""
    if not any(kind.trials or kind.broken for kind in kinds):
        return "no attack was run"
    if unfit := _unjudged(model):
        return unfit
    if not any(kind.trials for kind in kinds):
        reasons = list(dict.fromkeys(why for kind in kinds for why in kind.broken.values()))
        return f"no attack was carried through and judged ({'; '.join(reasons)})"
    if thieves := list(dict.fromkeys(name for b in model.boards for name in copying(b.setup))):
        verb = "returns" if len(thieves) == 1 else "return"
        return f"{listing(thieves)} {verb} private pictures themselves, so the experiment leaks and not the model"
    return _useless(model, facts)


def _unjudged(model: Given) -> str:
    found = model.board
    if found is None or found.fit:
        return ""
    said = [(j.name, why.split("\n")[0]) for j in found.judges if j.data == model.data for why in judge_warnings(j)]
    said += [(fault.judge, fault.text) for fault in found.faults if fault.voids]
    if not said:
        return "no face recogniser was measured that could judge it"
    return f"no face recogniser is fit to judge ({'; '.join(' '.join(one) for one in said)})"


def _useless(model: Given, facts: AuditFacts) -> str:
    """A model that does not know its people has nothing to give away, and one that is misread seems so."""
    if facts.classes < 2 or facts.pictures_checked < 1:
        return ""
    low, high = wilson(facts.accuracy, facts.pictures_checked)
    guessing = 1 / facts.classes
    if low > guessing and not any(b.worths[model.defense].useless for b in model.boards):
        return ""
    known = f"{number(facts.accuracy, 'share')} of the given pictures ({between(low, high)}, by the 95 % interval)"
    chance = number(guessing, "share")
    return f"the model hardly knows its people, or was misread: it names {known} rightly, and guessing {chance}"


def _told(state: State, trial: Trial) -> list[str]:
    """What one attacker can do, to follow who that is, and what must stand beside it."""
    return {"recovers": _recovers, "faint": _faint, "few": _few, "unknown": _unknown}[state](trial)


def _recovers(trial: Trial) -> list[str]:
    return [f"{_can(trial.found)}{_interval(trial.found)}.", *_by_luck(trial)]


def _few(trial: Trial) -> list[str]:
    few = f"With {plural(trial.found.people, 'person', 'people')} no test can tell that from luck"
    return [f"{_can(trial.found)}.", *_by_luck(trial), f"{few}: take it as a warning, and audit more people."]


def _unknown(trial: Trial) -> list[str]:
    unknown = "How much of that luck alone would give is not known, since no such control was scored."
    return [f"{_can(trial.found)}{_interval(trial.found)}.", unknown]


def _faint(trial: Trial) -> list[str]:
    found, low = trial.found, trial.luck
    convinced = recognisers(found.needed, len(found.judges), plain=True)
    luck = f", where luck gives {number(low.share.value, 'share')}" if low else ""
    ends = f" ({between(*found.share.ends)}, by the 95 % interval)" if found.share.low is not None else ""
    text = f"can make pictures of which face recognisers accept {number(found.share.value, 'share')}{ends}{luck}"
    return [f"{text}; but most pictures of one person convince {convinced} for {counted(found)}."]


def _can(found: Recovery) -> str:
    who = recognisers(found.needed, len(found.judges))
    return f"can make pictures that {who} for the right person for {counted(found)}"


def _interval(found: Recovery) -> str:
    if found.people < 2:
        return ""
    share = number(len(found.recovered) / found.people, "share")
    return f" ({share}; of people like them {between(*found.ends)}, by the 95 % interval)"


def _by_luck(trial: Trial) -> list[str]:
    return [f"Luck alone does so for {counted(trial.luck)}."] if trial.luck else []


def _others(leader: Attacker, kinds: Sequence[Attacker]) -> list[str]:
    """Of who sees less and recovers somebody, too: hiding what the leader sees does not help against them."""
    order = list(Access)
    less = [k for k in kinds if order.index(k.access) > order.index(leader.access) and k.state == "recovers"]
    return [f"{WHO[k.access]} {_can(k.strongest.found)}." for k in less if k.strongest]


def best_of(kinds: Sequence[Attacker]) -> Trial:
    """The attack that comes nearest to recovering somebody."""
    trials = [trial for kind in kinds for trial in kind.trials]
    return max(trials, key=lambda t: (len(t.found.recovered), t.found.share.value))


def _luck(kinds: Sequence[Attacker]) -> Finding:
    best, tried = best_of(kinds), sum(len(kind.trials) for kind in kinds)
    people = plural(best.found.people, "person", "people")
    unseen = f"with {people}, an attack that recovers {between(0.0, best.found.ends[1])} of them may look like this"
    beside = f"That does not show that the model gives nothing away: {unseen}, and a stronger one may succeed."
    return Finding("luck", _no_better(tried, best), (beside,), None, best)


def _no_better(attacks: int, best: Trial, which: str = "tried") -> str:
    found, open_, one = best.found, best.beyond > 0, attacks == 1
    who = f"The one attack {which}" if one else f"None of the {attacks} attacks {which}"
    if open_:
        told = "cannot be told apart from luck" if one else "can be told apart from luck"
    else:
        told = f"{'does not recover' if one else 'recovers'} anybody better than luck does"
    convinced = recognisers(found.needed, len(found.judges), plain=True)
    low = f", and luck for {counted(best.luck)}" if best.luck else ""
    return f"{who} {told}: {'it' if one else 'the best'} convinces {convinced} for {counted(found)}{low}."


def told(kind: Attacker) -> str:
    """What one kind of attacker gets, in sentences of its own."""
    if kind.state == "void":
        return "Its numbers say nothing about the model: see the first sentence of this report."
    if kind.strongest is None:
        return _nothing(kind)
    if kind.state == "luck":
        return _no_better(len(kind.trials), kind.strongest, "of this kind")
    return " ".join(
        [f"{WHO[kind.access]} {_told(kind.state, kind.strongest)[0]}", *_told(kind.state, kind.strongest)[1:]]
    )


def briefly(kind: Attacker) -> str:
    """The same where the number of people recovered stands beside it."""
    trial = kind.strongest
    if trial is None or kind.state in ("void", "luck", "faint"):
        return told(kind)
    found = trial.found
    ends = f"Of people like them {between(*found.ends)}, by the 95 % interval." if found.people > 1 else ""
    return " ".join(filter(None, [ends, *_told(kind.state, trial)[1:]]))


def _nothing(kind: Attacker) -> str:
    if kind.state == "excluded":
        return "Not looked at: the audit was limited to attackers who see less of the model. They may get more."
    if kind.broken:
        return f"No attack of this kind has a number: {'; '.join(f'{a}: {why}' for a, why in kind.broken.items())}."
    return "No attack of this kind was run, so what such an attacker gets is not known."
