"""The section on judges from outside: their own rates, and each evaluator against them, with refusals apart."""

from __future__ import annotations

import re

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.leaderboard import page
from unveil.leaderboard.figures import setups
from unveil.leaderboard.outside import ERRORS, OWN, SILENCES, outside
from unveil.metrics.confusion import COLUMNS as CONFUSION
from unveil.metrics.outside import COLUMNS as ACCEPTED

SHARES = {
    "verified": (0.24, 50), "genuine accepted": (0.9, 40), "other people accepted": (0.025, 40),
    "reconstructions refused": (0.04, 52), "reconstructions unclear": (0.0, 52), "real pairs refused": (0.0, 80),
    "real pairs unclear": (0.0, 80),
}  # fmt: skip
CONFUSED = {
    "false positives": (30 / 38, 38), "false negatives": (2 / 12, 12), "accepted by the evaluator": (0.8, 50),
    "accepted by the judge": (0.24, 50),
}  # fmt: skip


def share(metric: str, name: str, told: tuple[float, int] | None, judge: str | None = None) -> Figure:
    value, samples = told or (None, 0)
    return Figure(
        metric=metric, quantity=name, judge=judge, unit="share", direction="neither better nor worse", range=(0, 1),
        value=value, low=None if told is None else 0.0, high=None if told is None else 1.0, samples=samples,
        reason=None if told else "127.0.0.1 answered with <status> 503",
    )  # fmt: skip


def results() -> Results:
    told = [share("verification", name, given) for name, given in SHARES.items()]
    told += [share("confusion", name, given, "cnn") for name, given in CONFUSED.items()]
    away = [share("verification", name, None) for name in SHARES]
    away += [share("confusion", name, None, "cnn") for name in CONFUSED]
    cell = {"data": "people", "model": "net", "seed": 0, "status": "done", "access": "scores"}
    rows = [
        Row(**cell, defense="none", attack="mirror", figures=tuple(told)),
        Row(**cell, defense="ssd", attack="mirror", figures=tuple(away)),
    ]
    return Results(title="t", plan="", rows=tuple(rows))


def test_the_words_are_the_metrics_own() -> None:
    assert ERRORS == CONFUSION
    assert tuple(str(column[0]) for column in ACCEPTED) == OWN


def test_each_evaluator_stands_against_each_judge_with_its_counts() -> None:
    (setup,) = setups(results())
    found = outside(setup)
    assert found is not None
    (own,), (errors,) = found.own, found.errors
    assert (own.names, errors.names) == (OWN + SILENCES, ERRORS)
    assert errors.title == "cnn, by confusion"
    first, second = errors.lines
    rate = first.cells["false positives"].estimate
    assert rate is not None
    assert rate.samples == 38
    assert second.cells["false positives"].estimate is None, "never a score"


def test_nothing_is_shown_where_nobody_was_asked() -> None:
    (row, _) = results().rows
    alone = Results(title="t", plan="", rows=(row.model_copy(update={"figures": row.figures[:2]}),))
    assert outside(setups(alone)[0]) is None
    assert 'id="outside"' not in page.render(alone)


def test_the_page_shows_them() -> None:
    html = page.render(results())
    section = html[html.index('<section id="outside"') :]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section[: section.index("</section>")]))
    for told in ("79 %", "17 %", "80 %", "24 %", "of 38", "of 12", "not scored", "Real pairs refused"):
        assert told in text.replace("\u00a0", " "), (told, text)
    assert "<status>" not in section
