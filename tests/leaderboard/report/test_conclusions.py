"""Who is most exposed, what defenses gain, what controls say, and what advice follows from which rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unveil.harness.words.names import Access
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.report.advice import advice
from unveil.leaderboard.report.attackers import Attacker, Trial
from unveil.leaderboard.report.audited import Audited, audited
from unveil.leaderboard.report.exposed import ranking
from unveil.leaderboard.report.recovery import Recovery

Make = Callable[..., Any]
WHITE, SCORES, LABELS = Access.WHITE_BOX, Access.SCORES, Access.LABELS
HALF, NOBODY = [5] * 10 + [0] * 10, [0] * 20


@pytest.fixture
def understood(case: Make) -> Callable[..., Audited]:
    def make(attacks: Any, controls: Any = None, **more: Any) -> Audited:
        made = case(attacks, {"luck": NOBODY} if controls is None else controls, **more)
        return audited(made.results(), made.audit(), private_pictures=False)

    return make


def rules(audit: Audited) -> list[str]:
    return [one.rule for one in advice(audit)]


def attacker(rates: list[float], pictures: int, seed: int) -> Attacker:
    """People with known rates, and so many pictures drawn of each."""
    drawn = np.random.default_rng(seed).binomial(pictures, rates) / pictures
    accepted = {str(i): {"judge": float(share)} for i, share in enumerate(drawn)}
    share = Estimate(float(drawn.mean()), 0.2, 0.8, samples=pictures * len(rates), identities=len(rates))
    luck = Recovery("luck", "floor", ("judge",), accepted, Estimate(0.0, 0.0, 0.1), 0)
    return Attacker(WHITE, "recovers", (Trial(Recovery("gmi", "", ("judge",), accepted, share, 0), luck),))


def test_people_who_are_equally_exposed_are_not_told_apart() -> None:
    claims = [not ranking(attacker([0.5] * 40, 5, seed)).open for seed in range(200)]
    assert sum(claims) <= 10  # the intervals hold together 95 times in 100


def test_people_who_differ_much_are_ranked_with_enough_pictures() -> None:
    found = ranking(attacker([0.97] * 4 + [0.03] * 16, 40, 0))
    assert {p.label for p in found.settled} == {"0", "1", "2", "3"}
    assert {(p.best, p.worst) for p in found.settled} == {(1, 4)}
    assert all(p.best == 5 for p in found.people[4:])


def test_attacks_no_better_than_luck_rank_nobody(understood: Make) -> None:
    assert understood({"gmi": (WHITE, NOBODY)}).ranking.people == ()


def test_ranks_pool_the_attacks_that_beat_luck_and_no_others(understood: Make) -> None:
    audit = understood({"gmi": (WHITE, HALF), "kedmi": (WHITE, [4] * 20), "dud": (WHITE, NOBODY)})
    ranked = audit.ranking
    assert set(ranked.attacks) == {"gmi", "kedmi"}
    assert ranked.pictures == 10
    assert ranked.people[0].share.value == pytest.approx(0.9)


def test_what_a_defense_gains_and_costs(understood: Make) -> None:
    audit = understood(
        {"gmi": (WHITE, HALF)},
        defended={"cheap": {"gmi": NOBODY}, "dear": {"gmi": NOBODY}, "idle": {"gmi": HALF}, "dull": {"gmi": NOBODY}},
        utility={"none": 5, "cheap": 5, "dear": 3, "idle": 5, "dull": 0},
    )
    sides = {g.defense: (g.side, g.helps) for g in audit.gains}
    assert sides == {
        "cheap": ("less", True), "dear": ("less", False), "idle": ("tie", False), "dull": ("useless", False),
    }  # fmt: skip
    helped = next(one for one in advice(audit) if one.rule == "a defense helps")
    assert helped.text == "Retrain with cheap."
    assert "−50 points" in helped.because


def test_defenses_are_compared_with_the_same_training_without_one(understood: Make) -> None:
    weaker = [5] * 3 + [0] * 17
    audit = understood(
        {"gmi": (WHITE, [5] * 20)},
        defended={"again": {"gmi": weaker}, "idle": {"gmi": weaker}},
        utility={"none": 5, "again": 5, "idle": 5},
        facts={"reference": "again"},
    )
    assert len(audit.finding.trial.found.recovered) == 20  # of the given model
    assert [(g.defense, g.side) for g in audit.gains] == [("again", "reference"), ("idle", "tie")]
    assert [len(g.after.recovered) for g in audit.gains] == [3, 3]
    assert "no defense helps" in rules(audit)


@pytest.mark.parametrize(
    ("defended", "utility", "rule"),
    [
        ({"dear": {"gmi": NOBODY}}, {"none": 5, "dear": 3}, "a defense helps dearly"),
        ({"idle": {"gmi": HALF}}, {"none": 5, "idle": 5}, "no defense helps"),
        ({}, {}, "no defense tried"),
    ],
)
def test_advice_about_defenses_follows_from_what_they_did(
    understood: Make, defended: Any, utility: Any, rule: str
) -> None:
    assert rule in rules(understood({"gmi": (WHITE, HALF)}, defended=defended, utility=utility))


def test_who_must_not_get_what_follows_from_who_recovers(understood: Make) -> None:
    assert "weights leak" in rules(understood({"gmi": (WHITE, HALF)}))
    by_scores = understood({"mirror": (SCORES, HALF), "brep": (LABELS, NOBODY)})
    told = {one.rule: one for one in advice(by_scores)}
    assert "no attack tried did better than luck" in told["scores leak"].text
    assert "about 100 pictures of each person" in told["scores leak"].text
    assert "Whoever has the weights can do that, too." in told["weights leak"].because
    assert "not tried" in {o.rule: o for o in advice(understood({"mirror": (SCORES, HALF)}))}["scores leak"].text
    both = rules(understood({"mirror": (SCORES, HALF), "brep": (LABELS, HALF)}))
    assert "answers leak" in both
    assert "scores leak" not in both


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"attacks": {"gmi": (WHITE, NOBODY)}}, "luck only"),
        ({"attacks": {"gmi": (WHITE, HALF)}, "controls": {}}, "no luck measured"),
        ({"attacks": {"gmi": (WHITE, [5, 5])}, "controls": {"luck": [0, 0]}}, "few people"),
        ({"attacks": {"gmi": (WHITE, HALF)}, "knows": 0.4}, "unfit recognisers"),
        ({"attacks": {"gmi": (WHITE, HALF)}, "facts": {"accuracy": 0.4, "order": "by accuracy"}}, "class order"),
        ({"attacks": {"gmi": (WHITE, HALF)}, "failed": {"ppa": (WHITE, "oh")}}, "failed"),
        ({"attacks": {"gmi": (WHITE, HALF)}, "facts": {"not_tried": (("ppa", "no time"),)}}, "left out"),
        ({"attacks": {"gmi": (WHITE, HALF)}, "controls": {"luck": NOBODY, "alike": HALF}}, "likeness"),
        ({"attacks": {"gmi": (WHITE, HALF)}}, "all exposed"),
    ],
)
def test_each_rule_speaks_when_its_finding_is_there(understood: Make, more: Any, rule: str) -> None:
    assert rule in rules(understood(**more))
    assert rule == "all exposed" or rule not in rules(
        understood({"gmi": (WHITE, HALF)}, {"luck": NOBODY, "alike": NOBODY})
    )


def test_where_nothing_can_be_said_nobody_is_told_what_to_protect(understood: Make) -> None:
    said = rules(understood({"gmi": (WHITE, HALF)}, knows=0.4))
    assert not {"weights leak", "no defense tried", "all exposed", "luck only"} & set(said)


def test_controls_say_what_is_wrong(understood: Make) -> None:
    fine = understood({"gmi": (WHITE, HALF)}, {"luck": NOBODY, "alike": NOBODY, "real": [5] * 20})
    assert [(c.role, c.fault) for c in fine.controls] == [("floor", False), ("gullibility", False), ("ceiling", False)]
    bad = understood({"gmi": (WHITE, HALF)}, {"luck": NOBODY, "alike": HALF, "real": [5] * 20})
    (alike,) = [c for c in bad.controls if c.fault]
    assert "more than half of what the strongest attack gets" in alike.text
