"""The first sentence, against rows made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unveil.harness.figures.rows import Figure
from unveil.harness.words.names import Access, Direction
from unveil.leaderboard.report.audited import Audited, audited

Make = Callable[..., Any]
WHITE, SCORES, LABELS = Access.WHITE_BOX, Access.SCORES, Access.LABELS
HALF, NOBODY = [5] * 10 + [0] * 10, [0] * 20


@pytest.fixture
def understood(case: Make) -> Callable[..., Audited]:
    def make(attacks: Any, controls: Any = None, **more: Any) -> Audited:
        made = case(attacks, {"luck": NOBODY} if controls is None else controls, **more)
        return audited(made.results(), made.audit(), private_pictures=False)

    return make


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_it_says_who_recovers_how_many_and_how_sure_that_is(understood: Make) -> None:
    found = understood({"gmi": (WHITE, HALF)}).finding
    assert found.state == "recovers"
    assert plain(found.lead) == (
        "An attacker who has this model’s weights can make pictures that at least 2 of 3 face recognisers take for the "
        "right person for 10 of 20 people (50 %; of people like them between 28 % and 72 %, by the 95 % interval)."
    )
    assert found.beside == ("Luck alone does so for none of 20 people.",)


def test_a_person_counts_by_most_pictures_and_most_recognisers(understood: Make) -> None:
    enough, too_few_pictures, too_few_judges = (3, 3, 0), (5, 2, 2), (5, 0, 0)
    people = [enough] * 8 + [too_few_pictures] * 5 + [too_few_judges] * 7
    by = dict(zip(("ada", "bea", "cyd"), zip(*people, strict=True), strict=True))
    audit = understood({"gmi": (WHITE, by)})
    assert len(audit.finding.trial.found.recovered) == 8
    counts = {c.needed: dict(c.attack) for c in audit.certainty.counts}
    assert counts[1] == {"at least one picture": 20, "most pictures": 20, "every picture": 12}
    assert counts[2] == {"at least one picture": 13, "most pictures": 8, "every picture": 0}
    assert counts[3] == {"at least one picture": 5, "most pictures": 0, "every picture": 0}


def test_the_strongest_kind_leads_and_a_weaker_one_stands_beside(understood: Make) -> None:
    fewer = [5] * 8 + [0] * 12
    found = understood({"gmi": (WHITE, HALF), "brep": (LABELS, fewer)}).finding
    assert found.access == WHITE
    assert "sees only whom it names can make pictures" in found.beside[-1]
    assert "8 of 20 people" in found.beside[-1]
    alike = understood({"gmi": (WHITE, HALF), "brep": (LABELS, HALF)}).finding
    assert alike.access == LABELS  # who sees less and does as well is the worse news


@pytest.mark.parametrize(
    ("attack", "luck", "lead"),
    [
        (NOBODY, NOBODY, "The one attack tried does not recover anybody better than luck does"),
        ([5] + [0] * 19, [0] * 19 + [5], "The one attack tried does not recover anybody better than luck does"),
        ([5] * 3 + [0] * 17, NOBODY, "The one attack tried cannot be told apart from luck"),
    ],
)
def test_luck_is_no_finding_and_no_acquittal(understood: Make, attack: Any, luck: Any, lead: str) -> None:
    found = understood({"gmi": (WHITE, attack)}, {"luck": luck}).finding
    assert (found.state, found.lead.split(":")[0]) == ("luck", lead)
    assert "does not show that the model gives nothing away" in found.beside[0]
    assert "% of them may look like this" in found.beside[0]


def test_of_several_attacks_none_beats_luck(understood: Make) -> None:
    found = understood({"gmi": (WHITE, NOBODY), "mirror": (SCORES, NOBODY)}).finding
    assert found.lead.startswith("None of the 2 attacks tried recovers anybody better than luck does: the best")


def test_more_pictures_than_luck_but_hardly_anybody_by_most(understood: Make) -> None:
    found = understood({"gmi": (WHITE, [2] * 20)}).finding
    assert found.state == "faint"
    assert "accept 40" in found.lead
    assert "for none of 20 people" in found.lead


@pytest.mark.parametrize(("people", "said"), [(1, "the one person who was attacked"), (3, "3 of 3 people")])
def test_few_people_are_a_warning(understood: Make, people: int, said: str) -> None:
    found = understood({"gmi": (WHITE, [5] * people)}, {"luck": [0] * people}).finding
    assert found.state == "few"
    assert said in found.lead
    assert "no test can tell that from luck" in found.beside[-1]


def test_without_luck_nobody_knows_what_it_gives(understood: Make) -> None:
    found = understood({"gmi": (WHITE, HALF)}, {}).finding
    assert found.state == "unknown"
    assert "10 of 20" in found.lead
    assert "not known" in found.beside[0]


def test_unfit_recognisers_void_everything(understood: Make) -> None:
    audit = understood({"gmi": (WHITE, HALF)}, knows=0.5)
    assert audit.finding.state == "nothing"
    assert "no face recogniser is fit to judge (ada recognises only 50" in audit.finding.lead
    assert not audit.ranking.people


def test_a_model_that_does_not_know_its_people_gives_nothing_to_find(understood: Make) -> None:
    audit = understood({"gmi": (WHITE, HALF)}, facts={"accuracy": 0.05, "order": "sorted names"})
    assert audit.finding.state == "nothing"
    assert "hardly knows its people, or was misread" in audit.finding.lead
    assert [kind.state for kind in audit.kinds] == ["void", "untried", "untried"]


def test_an_attack_that_returns_private_pictures_is_no_attack(case: Make) -> None:
    made = case({"gmi": (WHITE, HALF)}, {"luck": NOBODY})
    results = made.results()
    copies = Figure(
        metric="copies", quantity="copies", unit="share", direction=Direction.LEAKS, range=(0, 1), value=0.4
    )  # fmt: skip
    first = results.rows[0].model_copy(update={"figures": (*results.rows[0].figures, copies)})
    stolen = results.model_copy(update={"rows": (first, *results.rows[1:])})
    found = audited(stolen, made.audit(), private_pictures=False).finding
    assert found.state == "nothing"
    assert "gmi returns private pictures themselves" in found.lead


def test_failed_attacks_are_told_with_their_reason(understood: Make) -> None:
    broken = {"gmi": (WHITE, "TrainingError: the loss became NaN\nexpected: a finite loss")}
    audit = understood({}, {}, failed=broken)
    assert audit.finding.state == "nothing"
    assert "no attack was carried through and judged (TrainingError: the loss became NaN)" in audit.finding.lead
    assert [(u.name, u.failed) for u in audit.untried if u.failed] == [("gmi", True)]


def test_nothing_run_is_nothing_said(understood: Make) -> None:
    assert understood({}, {}).finding.lead == (
        "Nothing can be said about what this model gives away: no attack was run."
    )


def test_what_the_audit_was_not_to_see_is_not_looked_at(understood: Make) -> None:
    audit = understood({"brep": (LABELS, HALF)}, facts={"access": "labels"})
    assert audit.finding.lead.startswith("An attacker who may ask this model and sees only whom it names can make")
    assert [kind.state for kind in audit.kinds] == ["excluded", "excluded", "recovers"]
    assert any("limited to attackers" in u.why for u in audit.untried)


def test_defended_retrainings_are_not_the_given_model(understood: Make) -> None:
    audit = understood({"gmi": (WHITE, NOBODY)}, defended={"tl_dmi": {"gmi": HALF}})
    assert audit.finding.state == "luck"
