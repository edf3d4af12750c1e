"""Attacks that see unequally much of a target are never averaged, ranked or tested together."""

from __future__ import annotations

import re

import pytest

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.leaderboard import page
from unveil.leaderboard.board import board
from unveil.leaderboard.figures import setups
from unveil.leaderboard.verdict import verdict

PEOPLE = 30
LEAKS = {  # what each defense stops is what the other lets through
    "gmi": {"none": 0.9, "hides_scores": 0.8, "smooths": 0.2},
    "brep_mi": {"none": 0.9, "hides_scores": 0.2, "smooths": 0.8},
    "random_latents": dict.fromkeys(("none", "hides_scores", "smooths"), 0.03),
}
ACCESS = {"gmi": "white-box", "brep_mi": "labels", "random_latents": "labels"}


def share(metric: str, value: float, direction: str, judge: str | None = None) -> Figure:
    return Figure(
        metric=metric, quantity="top-1", judge=judge, unit="share", direction=direction, range=(0, 1), value=value,
        low=max(value - 0.03, 0), high=min(value + 0.03, 1), samples=PEOPLE, identities=PEOPLE,
        per_identity={str(i): value + 0.01 * (-1) ** i for i in range(PEOPLE)},
    )  # fmt: skip


def results(*attacks: str) -> Results:
    rows = tuple(
        Row(
            data="d",
            model="m",
            defense=defense,
            attack=attack,
            seed=0,
            status="done",
            access=ACCESS[attack],
            role="floor" if attack == "random_latents" else "",
            figures=(
                share("attack_accuracy", leak, "higher leaks more", "judge"),
                share("utility", 0.95, "higher is more useful"),
            ),
        )
        for attack in attacks
        for defense, leak in LEAKS[attack].items()
    )
    return Results(title="t", plan="", rows=rows)


def test_each_threat_model_has_its_own_means_ranks_and_verdict() -> None:
    white, labels = (board(setup, ()) for setup in setups(results(*LEAKS)))
    assert (white.setup.access, labels.setup.access) == ("white-box", "labels")
    assert (white.setup.attacks, labels.setup.attacks) == (("gmi",), ("brep_mi",))
    assert white.setup.controls == labels.setup.controls == ("random_latents",)
    best = []
    for found in (white, labels):
        assert found.headline
        (attack,) = found.setup.attacks
        assert {d: e.value for d, e in found.headline.means.items()} == pytest.approx(LEAKS[attack])
        assert found.headline.floor
        assert found.headline.floor.value == pytest.approx(0.03)
        best.append([d for d, rank in found.headline.mean_ranks.items() if rank == (1, 1)])
    assert best == [["smooths"], ["hides_scores"]]  # opposite, where one mean of both would call it a tie
    assert verdict(white).lead.startswith("Against 1 white-box attack, none (undefended) lets 90")
    assert verdict(labels).lead.startswith("Against 1 label-only attack, none (undefended) lets 90")


def test_no_number_on_the_page_averages_both() -> None:
    text = page.render(results(*LEAKS))
    shown = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.S)
    assert not re.search(r"\b50(\.0)?\s?%", shown)
    assert "white-box attacks" in shown
    assert "label-only attacks" in shown
    ids = re.findall(r' id="([^"]*)"', shown)
    assert len(ids) == len(set(ids))  # the controls stand in both matrices, and cell by cell once


def test_one_threat_model_is_one_setup() -> None:
    (setup,) = setups(results("gmi", "random_latents"))
    assert setup.title == "d · m · white-box attacks"
    (alone,) = setups(results("random_latents"))
    assert (alone.access, alone.title) == (None, "d · m")
