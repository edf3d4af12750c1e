"""The section that compares judges: which columns it reads, what stands where, what it says in words."""

from __future__ import annotations

import re

import pytest

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.words.names import CONFIRMED, KAPPA, MEAN_OF_JUDGES, Opinion, Quantity
from unveil.leaderboard import page
from unveil.leaderboard.agreement import panel, title
from unveil.leaderboard.figures import setups

CNN, FACE = Opinion(judge="cnn"), Opinion(judge="face", answer="FAR 1 %")
ODD = Opinion(judge="a confirmed by b")
KAPPA_COLUMN, MEAN_COLUMN = Quantity(quantity=KAPPA), Quantity(quantity=MEAN_OF_JUDGES)


def confirmed_by(loose: Opinion, stricter: Opinion) -> Quantity:
    return Quantity(quantity=CONFIRMED, confirmed=loose, confirmed_by=stricter)


def figure(about: Quantity, value: float | None, direction: str = "neither better nor worse") -> Figure:
    ends = {} if value is None else {"low": value - 0.1, "high": value + 0.1}
    return Figure(
        **dict(about), metric="panel", unit="share", direction=direction, range=(0, 1), value=value, **ends,
        reason="no closed-set success" if value is None else None,
    )  # fmt: skip


def row(attack: str, confirmed: float | None, defense: str = "none", role: str = "", seed: int = 0) -> Row:
    figures = (
        figure(MEAN_COLUMN, 0.4, "higher leaks more"),
        figure(confirmed_by(CNN, FACE), confirmed),
        figure(confirmed_by(CNN, CNN), 0.5),
        figure(confirmed_by(ODD, CNN), 0.7),
    )
    return Row(
        data="d", model="m", defense=defense, attack=attack, seed=seed, role=role, status="done", figures=figures
    )  # fmt: skip


def test_columns_are_read_and_controls_stand_last() -> None:
    rows = (row("random_latents", None, role="floor"), row("gmi", 0.2), row("gmi", 0.3, "mid"), row("kedmi", 0.25))
    (setup,) = setups(Results(title="t", plan="", rows=rows))
    found = panel(setup)
    assert found
    assert [(c.opinion, tuple(c.stricter)) for c in found.closed] == [
        (CNN, (FACE, CNN)), (ODD, (CNN,)),
    ]  # fmt: skip
    assert found.together == (MEAN_COLUMN,)
    assert [(line.defense, line.attack, line.role) for line in found.lines] == [
        ("none", "gmi", ""), ("none", "kedmi", ""), ("mid", "gmi", ""), ("none", "random_latents", "floor"),
    ]  # fmt: skip
    told = {who: text.replace("\u00a0", " ") for who, text in found.closed[0].summary.items()}
    assert told[FACE] == "between 20 % [10, 30] (gmi on none) and 30 % [20, 40] (gmi on mid)"
    last = found.lines[-1].cells[found.closed[0].stricter[FACE]]
    assert (last.state, last.reasons) == ("unscored", ("no closed-set success",))


def test_seeds_are_averaged_and_one_cell_is_no_range() -> None:
    (setup,) = setups(Results(title="t", plan="", rows=(row("gmi", 0.2), row("gmi", 0.4, seed=1))))
    found = panel(setup)
    assert found
    cell = found.lines[0].cells[found.closed[0].stricter[FACE]]
    assert cell.estimate
    assert cell.estimate.value == pytest.approx(0.3)
    assert found.closed[0].summary[FACE].replace("\u00a0", " ") == "30 % [20, 40]"


def test_equal_shares_are_no_range_and_kappa_has_two_decimals() -> None:
    kappa = figure(KAPPA_COLUMN, -0.0036).model_copy(update={"unit": "kappa", "range": (-1, 1)})
    rows = [r.model_copy(update={"figures": (*r.figures, kappa)}) for r in (row("gmi", 1.0), row("gmi", 1.0, "mid"))]
    (setup,) = setups(Results(title="t", plan="", rows=tuple(rows)))
    found = panel(setup)
    assert found
    assert found.closed[0].summary[FACE] == "100\u00a0% under every attack"
    e = found.lines[0].cells[KAPPA_COLUMN].estimate
    assert e
    assert (e.value, e.low, e.high) == (0, -0.1, 0.1)
    assert found.together == (MEAN_COLUMN, KAPPA_COLUMN)


def test_names_of_verdicts_as_the_harness_gives_them() -> None:
    closed = Opinion(judge="plain_cnn", answer="closed-set top-1", closed=True)
    face = Opinion(judge="arcface (r50)", answer="verified at FAR 0.1 %")
    assert [str(opinion) for opinion in (Opinion(judge="plain_cnn"), closed, face)] == [
        "plain_cnn", "closed-set top-1 (plain_cnn)", "verified at FAR 0.1 % (arcface (r50))",
    ]  # fmt: skip
    assert [title(opinion) for opinion in (Opinion(judge="a (b)"), closed, face)] == [
        "a (b)", "plain_cnn", "arcface (r50), verified at FAR 0.1\u00a0%",
    ]  # fmt: skip


def test_nothing_compared_no_section(sample) -> None:
    bare = row("gmi", 0.2)
    other = bare.model_copy(update={"figures": tuple(f.model_copy(update={"metric": "x"}) for f in bare.figures)})
    (setup,) = setups(Results(title="t", plan="", rows=(other,)))
    assert panel(setup) is None
    assert "Do the judges agree" not in page.render(Results(title="t", plan="", rows=(other,)))
    alone = bare.model_copy(update={"figures": bare.figures[:1]})  # nobody with a closed set
    assert "Do the judges agree" in page.render(Results(title="t", plan="", rows=(alone,)))


def test_the_page_shows_it(rendered: str) -> None:
    section = re.search(r'<section id="agreement".*?</section>', rendered, re.S)
    assert section
    text = section[0]
    assert "<strong>false positive of the evaluator</strong>" in text
    assert text.count("<table") == 2  # one for each closed set, the second folded away
    assert "<summary>Closed-set successes of efficientnet_closed</summary>" in text
    assert "Of what <strong>resnet18_<wbr>open</strong> accepts of the attacks as a closed set" in text
    assert "<strong>resnet18_<wbr>open</strong> itself, as an open set, confirms between" in text
    assert text.count('<tr class="control">') == 2 * 4
    assert 'title="the closed set had no success to confirm">not scored' in text
