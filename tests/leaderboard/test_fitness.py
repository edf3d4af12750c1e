"""The judges that are fit speak together, and the first one stands beside them."""

from __future__ import annotations

from statistics import fmean
from types import ModuleType

import pytest

from unveil.harness.figures.rows import Results
from unveil.leaderboard import page
from unveil.leaderboard.board import Board, board
from unveil.leaderboard.figures import BASELINE, setups
from unveil.leaderboard.verdict import verdict


def made(results: Results) -> Board:
    (setup,) = setups(results)
    return board(setup, results.judges)


@pytest.fixture
def both_fit(sample: ModuleType, results: Results) -> Results:
    good, other = sample.judges()
    return results.model_copy(update={"judges": (good, other.model_copy(update={"figures": good.figures}))})


def test_the_mean_of_fit_judges_leads(both_fit: Results) -> None:
    found = made(both_fit)
    lead, *alone = [m for c, m in found.matrices.items() if c.leads]
    assert lead is found.headline
    assert lead.column.judges == ("resnet18_open", "efficientnet_closed")
    assert [m.column.judge for m in alone] == list(lead.column.judges)
    for cell, one in lead.cells.items():
        parts = [m.cells[cell].estimate for m in alone]
        values = [e.value for e in parts if e]
        assert bool(one.estimate) == (len(values) == 2)
        if one.estimate:
            assert one.estimate.value == pytest.approx(fmean(values))
            assert {one.estimate.samples} == {e.samples for e in parts if e}  # the same pictures, seen twice
            assert one.estimate.low is not None
            assert one.estimate.low <= one.estimate.value


def test_the_sentence_names_the_mean_and_the_first_judge(both_fit: Results) -> None:
    said = verdict(made(both_fit))
    assert said.lead.startswith("Averaged over 2 white-box attacks and 2 fit judges, none (undefended) lets ")
    assert "(resnet18_open, the first judge, alone: 46\u00a0% [28,\u00a066])" in said.lead
    assert any("judged by resnet18_open and efficientnet_closed, on average" in p.text for p in said.points)
    assert "mean of 2 fit judges" in page.render(both_fit)


def test_one_fit_judge_speaks_for_itself(results: Results) -> None:
    found = made(results)  # the other takes half of all strangers for somebody it knows
    assert found.fit == {"resnet18_open"}
    assert found.headline
    assert found.headline.column.judge == "resnet18_open"
    assert found.first is None
    assert BASELINE in found.headline.means


def test_who_was_never_measured_is_not_fit(results: Results) -> None:
    silent = tuple(j.model_copy(update={"figures": ()}) for j in results.judges)
    found = made(results.model_copy(update={"judges": silent}))
    assert not found.fit
    assert found.headline
    assert found.headline.column.judge == "resnet18_open"
