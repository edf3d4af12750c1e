"""A terminal is narrow: the most telling columns stay, and the reader is told that there are more."""

import dataclasses

import pytest

from unveil.cli.plugins import _type
from unveil.cli.tables import fitting, show
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.figures.rows import Figure, Results, Row

LEAKS, USEFUL = "higher leaks more", "higher is more useful"


def figure(metric, quantity, judge=None, direction=LEAKS, closed=False):
    return Figure(
        metric=metric, quantity=quantity, closed=closed, judge=judge, unit="share", direction=direction, range=(0, 1),
        value=0.5, low=0.4, high=0.6, samples=10, identities=10,
    )  # fmt: skip


JUDGES = ("first", "second", "third")
MANY = [
    *(
        figure("attack_accuracy", c, j, closed=closed)
        for j in JUDGES
        for c, closed in (("top-1", False), ("top-1", True), ("nobody here", False))
    ),
    figure("nearest_anchor", "top-1"),
    figure("utility", "top-1", direction=USEFUL),
    figure("panel", "mean of judges"),
    figure("panel", "accepted by every judge"),
]


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (10, ["attack_accuracy/top-1@first", "utility/top-1"]),
        (70, ["attack_accuracy/top-1@first", "utility/top-1", "panel/mean of judges"]),
        (
            23 * 6,
            ["attack_accuracy/top-1@first", "attack_accuracy/closed-set top-1@first",
             "attack_accuracy/nobody here@first", "utility/top-1", "panel/mean of judges",
             "panel/accepted by every judge"],
        ),
        (10_000, [f.name for f in MANY]),
    ],
)  # fmt: skip
def test_the_most_telling_columns_stay(width, names):
    assert list(fitting({f.name: f for f in MANY}, width)) == names


def test_the_reader_is_told_of_the_rest(capsys):
    row = Row(data="d", model="m", defense="none", attack="gmi", seed=0, status="done", figures=tuple(MANY))
    show(Results(title="t", plan="", rows=(row,)))
    told = capsys.readouterr().out
    assert "panel" in told
    assert "7 more columns are on the leaderboard and in --json" in told
    assert max(map(len, told.splitlines())) <= 160
    show(Results(title="t", plan="", rows=(row.model_copy(update={"figures": tuple(MANY[:2])}),)))
    assert "more columns" not in capsys.readouterr().out


def test_the_reader_is_told_what_attacks_see(capsys):
    names = {"data": "d", "model": "m", "defense": "none", "seed": 0, "status": "done", "figures": tuple(MANY[:2])}
    rows = (Row(**names, attack="gmi", access="white-box"), Row(**names, attack="luck", access="labels", role="floor"))
    show(Results(title="t", plan="", rows=rows))
    assert "access of the attacks: white-box" in capsys.readouterr().out
    show(Results(title="t", plan="", rows=(*rows, Row(**names, attack="brep_mi", access="labels"))))
    lines = capsys.readouterr().out.splitlines()
    assert any("access" in line and "attack" in line for line in lines)
    assert any("brep_mi" in line and "labels" in line for line in lines)


def test_a_settings_type_is_told_without_our_own_marks() -> None:
    told = {field.name: _type(field) for field in dataclasses.fields(TLDMI)}
    assert told["layer"] == "Annotated[int, Field(ge=0)] | None"
    assert told["stem"] == told["statistics"] == "bool"
