"""The literature's MNIST experiment: a closed-set judge finds successes that an open-set judge does not confirm."""

from __future__ import annotations

from pathlib import Path

import pytest

from unveil.harness.assets.fetch import path
from unveil.harness.figures.rows import Results
from unveil.harness.plan.file import read
from unveil.harness.running.assemble import results as assemble
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import AssetError
from unveil.leaderboard.board import board
from unveil.leaderboard.figures import setups
from unveil.leaderboard.verdict import verdict

CLOSED, OPEN, NOBODY = "closed set", "open set", "open set, nobody class"


def accepted(results: Results, attack: str, judge: str, column: str = "top-1") -> float:
    (found,) = [
        f.value for r in results.rows if r.attack == attack for f in r.figures
        if (f.metric, f.column, f.judge) == ("attack_accuracy", column, judge)
    ]  # fmt: skip
    assert found is not None
    return found


def check(results: Results) -> None:
    """The trap, the control that explains it, and what the page says; wide of those in docs/studies/closed-set."""
    assert {row.status for row in results.rows} == {"done"}, [row.error for row in results.rows]
    assert accepted(results, "gmi", CLOSED) > 0.8
    assert accepted(results, "public_lookalikes", CLOSED) > 0.8  # real pictures of other digits
    for judge in (OPEN, NOBODY):
        assert accepted(results, "held_out_private", judge) > 0.8
        assert accepted(results, "gmi", judge) < 0.6 * accepted(results, "gmi", CLOSED)
        assert accepted(results, "gmi", judge, "closed-set top-1") > 0.7
        assert accepted(results, "public_lookalikes", judge) < 0.3
        assert accepted(results, "random_latents", judge) < 0.1
    (setup,) = setups(results)
    assert setup.headline
    assert setup.headline.judge == OPEN
    said = verdict(board(setup, results.judges))
    faults = " ".join(p.text for p in said.points if p.tone == "fault")
    assert "Judge closed set takes 100\u00a0% of strangers for people it knows" in faults
    assert "of public look-alikes (public_lookalikes), more than half" in faults
    assert any(p.text.startswith("Only 5 people: too few") for p in said.points)


@pytest.mark.slow
def test_the_trap_is_set_off(tmp_path: Path) -> None:
    try:
        path("mnist")
    except AssetError as error:
        pytest.skip(str(error))
    file, store = read("mnist"), Store(str(tmp_path))
    matrix = expand(file)
    outcomes = run_nodes(matrix.nodes(), Surroundings(store.url), InlinePool(), lambda node, outcome: None)
    check(assemble(file, matrix, outcomes, store))
