"""What only equal numbers of pictures may be compared by, on a page where they are not equal."""

from __future__ import annotations

from types import ModuleType

import pytest

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.leaderboard.board import board
from unveil.leaderboard.counts import pictures, sentence, unequal
from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.figures import setups
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.page import render


def changed(sample: ModuleType, counted: bool, samples: int) -> Results:
    """The sample with other numbers of pictures for one defense under one attack, in one figure."""

    def figure(f: Figure, row: Row) -> Figure:
        if f.column != "knn distance":
            return f
        few = (row.defense, row.attack) == ("bido", "gmi")
        return f.model_copy(update={"counted": counted, "samples": samples if few else 200})

    results: Results = sample.results()
    rows = tuple(r.model_copy(update={"figures": tuple(figure(f, r) for f in r.figures)}) for r in results.rows)
    return results.model_copy(update={"rows": rows})


def found(results: Results) -> Matrix:
    (setup,) = setups(results)
    (column,) = (c for c in setup.columns if c.column == "knn distance")
    return board(setup, ()).matrices[column]


def test_unequal_numbers_are_neither_ranked_nor_averaged(sample: ModuleType) -> None:
    results = changed(sample, counted=True, samples=150)
    refused, usual = found(results), found(changed(sample, counted=True, samples=200))
    assert refused.pictures["gmi"] == (150, 200)
    assert not any(attack == "gmi" for _, attack in refused.ranks)
    assert "gmi" not in refused.common
    assert "gmi" in usual.common
    assert {k: v for k, v in usual.ranks.items() if k[1] != "gmi"} == refused.ranks
    assert "gmi 150 to 200" in refused.unequal
    assert "gmi 150 to 200" in render(results)


@pytest.mark.parametrize(("counted", "samples"), [(False, 150), (True, 200)])
def test_means_over_people_and_equal_numbers_are_compared(sample: ModuleType, counted: bool, samples: int) -> None:
    results = changed(sample, counted, samples)
    matrix = found(results)
    assert ("none", "gmi") in matrix.ranks
    assert matrix.unequal == ""
    assert "Only equal numbers of pictures compare" not in render(results)


def test_numbers_are_per_seed() -> None:
    counts = pictures({
        ("none", "gmi"): Estimate(1.0, seeds=2, samples=240),
        ("bido", "gmi"): Estimate(1.0, seeds=1, samples=120),
        ("none", "kedmi"): Estimate(1.0, seeds=1, samples=80),
    })  # fmt: skip
    assert counts == {"gmi": (120, 120), "kedmi": (80, 80)}
    assert unequal(counts, ["gmi", "kedmi", "not run"]) == ()
    assert sentence(counts, True) == "gmi 120; kedmi 80"
    assert sentence(counts, False) == ""
