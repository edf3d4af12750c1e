"""The JSON of a report has a version, fits its schema, and says what the page says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from unveil.harness.words.names import Access
from unveil.leaderboard.report.schema import VERSION, Summary
from unveil.leaderboard.report.summary import summary

HALF, NOBODY = [5] * 10 + [0] * 10, [0] * 20
KEYS = {
    "schema_name", "schema_version", "title", "audit", "finding", "attackers", "people", "certainty", "controls",
    "defenses", "not_tried", "advice",
}  # fmt: skip


@pytest.fixture
def told(case: Callable[..., Any]) -> dict[str, Any]:
    made = case(
        {"gmi": (Access.WHITE_BOX, HALF)}, {"luck": NOBODY, "alike": [1] * 20, "real": [5] * 20},
        defended={"tl_dmi": {"gmi": NOBODY}}, utility={"none": 5, "tl_dmi": 5},
    )  # fmt: skip
    return summary(made.results(), made.audit())


def test_it_is_json_of_the_stated_schema(told: dict[str, Any]) -> None:
    text = json.dumps(told, allow_nan=False)
    assert (told["schema_name"], told["schema_version"]) == ("unveil.audit", VERSION) == ("unveil.audit", 1)
    assert set(told) == KEYS == set(Summary.model_json_schema()["properties"])
    assert Summary.model_validate_json(text).model_dump(mode="json") == told
    with pytest.raises(ValidationError):
        Summary.model_validate({**told, "schema_version": 2})


def test_it_holds_the_numbers_of_the_finding(told: dict[str, Any]) -> None:
    finding = told["finding"]
    assert (finding["state"], finding["attacker"], finding["attack"]) == ("recovers", "white-box", "gmi")
    assert (finding["recovered"], finding["people"], finding["recovered_by_luck"]) == (10, 20, 0)
    assert (finding["recognisers_needed"], finding["recognisers"]) == (2, 3)
    assert finding["share"]["low"] < finding["share"]["value"] == 0.5 < finding["share"]["high"]
    assert [c["control"] for c in told["controls"]] == ["luck", "alike", "real"]
    (gain,) = told["defenses"]
    assert (gain["side"], gain["recovered_undefended"], gain["recovered"]) == ("less", 10, 0)
    assert gain["utility_lost"]["value"] == 0


def test_where_nothing_can_be_said_no_number_pretends_to(case: Callable[..., Any]) -> None:
    made = case({"gmi": (Access.WHITE_BOX, HALF)}, {"luck": NOBODY}, knows=0.3)
    told = summary(made.results(), made.audit())
    assert told["finding"]["state"] == "nothing"
    assert told["finding"]["recovered"] is None
    assert told["people"] == []
