"""A terminal is narrow: the most telling columns stay, and the reader is told that there are more."""

import pytest

from unveil.cli.tables import fitting, show
from unveil.harness.figures.rows import Figure, Results, Row

LEAKS, USEFUL = "higher leaks more", "higher is more useful"


def figure(metric, column, judge=None, direction=LEAKS):
    return Figure(
        metric=metric, column=column, judge=judge, unit="share", direction=direction, range=(0, 1),
        value=0.5, low=0.4, high=0.6, samples=10, identities=10,
    )  # fmt: skip


JUDGES = ("first", "second", "third")
MANY = [
    *(figure("attack_accuracy", c, j) for j in JUDGES for c in ("top-1", "closed-set top-1", "nobody here")),
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
