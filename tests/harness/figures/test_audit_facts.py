"""The facts of an audit survive JSON, and what is none is refused in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.words.errors import StoreError

FACTS = AuditFacts(
    model="staff door", file="door.pt", checksum="ab" * 32, access="scores", classes=40, people_checked=40,
    pictures_checked=200, accuracy=0.975, order="by accuracy", normalisation="mean 0.5, deviation 0.5", size=112,
    budget=1800.0, spent=1722.5, tried=(("ppa", "follows gradients"),), not_tried=(("brep_mi", "no time"),),
    notes=("one class has no pictures",), defenses=("tl_dmi", "none, again"), reference="none, again",
)  # fmt: skip


def test_facts_survive_json() -> None:
    assert AuditFacts.from_dict(json.loads(json.dumps(FACTS.as_dict()))) == FACTS
    assert AuditFacts.from_dict(replace(FACTS, budget=None).as_dict()).budget is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"access": "gradients"}, "white-box, scores, labels"),
        ({"order": "guessed"}, "by accuracy"),
        ({"accuracy": 97.5}, "between 0 and 1"),
        ({"classes": "many"}, "classes"),
        ({"reference": "mid"}, "one of the defenses"),
        ({"spent": float("nan")}, "expected seconds"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_no_fact_is_refused_by_name(change: dict[str, object], named: str) -> None:
    with pytest.raises(StoreError, match=named):
        AuditFacts.from_dict(FACTS.as_dict() | change)


def test_a_missing_fact_is_named() -> None:
    plain = FACTS.as_dict()
    del plain["spent"]
    with pytest.raises(StoreError, match="spent"):
        AuditFacts.from_dict(plain)
