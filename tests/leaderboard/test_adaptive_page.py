"""Adaptive attacks beside fixed ones: who is set beside whom, and when the page warns."""

from __future__ import annotations

from types import ModuleType

import pytest

from unveil.harness.figures.rows import Results, Row
from unveil.leaderboard import page
from unveil.leaderboard.adaptive import Beside, beside
from unveil.leaderboard.board import board
from unveil.leaderboard.figures import setups

HOW = "adaptive, against bido: inside <align_mi>"


def knowing(row: Row) -> Row:
    """The sample's kedmi, which takes more than gmi everywhere, as if it were made of gmi."""
    if row.attack != "kedmi":
        return row
    notes = () if row.defense == "none" else (HOW,) if row.defense == "bido" else ("adaptive: nothing is known",)
    return row.model_copy(update={"adapts": "gmi", "notes": (*row.notes, *notes)})


@pytest.fixture
def adaptive(results: Results) -> Results:
    return results.model_copy(update={"rows": tuple(map(knowing, results.rows))})


def pairs(results: Results) -> dict[str, Beside]:
    found: dict[str, Beside] = {}
    for setup in setups(results):
        found |= {one.defense: one for one in beside(board(setup, results.judges))}
    return found


def test_pairs_their_difference_and_the_warning(adaptive: Results, results: Results) -> None:
    found = pairs(adaptive)
    assert "none" not in found  # there is nothing to know of
    bido = found["bido"]
    assert (bido.attack, bido.adaptive, bido.how) == ("gmi", "kedmi", "bido: inside <align_mi>")
    assert bido.gap is not None
    assert bido.gap.value == pytest.approx(bido.known.value - bido.fixed.value)
    assert bido.masked
    assert bido.p is not None
    assert bido.p < 0.05
    assert found["tl_dmi"].how.startswith("the attack itself")
    assert not found["tl_dmi"].masked
    assert found["tl_dmi"].p is None
    assert pairs(results) == {}


def test_two_names_of_one_attack_are_not_tested_against_each_other(results: Results) -> None:
    """Whatever the row says of it, such as that the attack takes the defense off by itself."""
    note = "adaptive, against bido: bypassed"

    def same(row: Row) -> Row:
        keys = {**row.keys, "attack": f"one on {row.defense}"}
        told = {"adapts": "gmi", "notes": (note,)} if row.attack == "kedmi" else {}
        return row.model_copy(update={"keys": keys, **told})

    found = pairs(results.model_copy(update={"rows": tuple(map(same, results.rows))}))["bido"]
    assert (found.how, found.gap, found.p, found.masked) == ("bido: bypassed", None, None, False)


def test_the_other_way_round_nothing_is_masked(results: Results) -> None:
    def weaker(row: Row) -> Row:
        return row.model_copy(update={"adapts": "kedmi", "notes": (HOW,)}) if row.attack == "gmi" else row

    found = pairs(results.model_copy(update={"rows": tuple(map(weaker, results.rows))}))
    assert found
    assert not any(one.masked for one in found.values())
    assert found["bido"].gap is not None
    assert found["bido"].gap.value < 0


def test_on_the_page(adaptive: Results, rendered: str, sample: ModuleType) -> None:
    shown = page.render(adaptive)
    assert "Gradient masking:" in shown
    assert "bido: inside &lt;align_mi&gt;" in shown.replace("<wbr>", "")
    assert "Gradient masking" not in rendered
    assert "Attacks that know of the defense" not in rendered
