from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from types import ModuleType

import pytest

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.words.names import CLASSIFICATION, DIFFERENCE, FIRST_HALF, INVERSION, LAYER_SHARE, Direction
from unveil.leaderboard import fisher, page
from unveil.leaderboard.figures import setups


def gap(low: float, high: float) -> Row:
    """A row whose difference has that interval."""
    shared = {"metric": "fisher", "unit": "share", "direction": Direction.DESCRIBES, "range": (-1, 1)}
    middle = (low + high) / 2
    figures = (
        Figure(quantity=FIRST_HALF, task=CLASSIFICATION, value=0.5, low=0.4, high=0.6, **shared),
        Figure(quantity=FIRST_HALF, task=INVERSION, value=0.5 + middle, low=0.4, high=0.6, **shared),
        Figure(quantity=FIRST_HALF, task=DIFFERENCE, value=middle, low=low, high=high, **shared),
    )
    return Row(data="d", model="m", defense="none", attack="gmi", seed=0, status="done", figures=figures)


@pytest.mark.parametrize(
    ("low", "high", "conclusion", "begins"),
    [(0.01, 0.2, "agrees", "Agrees with"), (-0.2, -0.01, "contradicts", "Contradicts"),
     (-0.01, 0.2, "cannot be told", "Cannot be told"), (0.0, 0.0, "cannot be told", "Cannot be told")],
)  # fmt: skip
def test_the_verdict_is_what_the_interval_of_the_difference_allows(
    low: float, high: float, conclusion: str, begins: str
) -> None:
    (profile,) = fisher.profiles([gap(low, high)])
    assert profile.conclusion == conclusion
    assert profile.sentence.startswith(begins)
    assert profile.layers == ()
    assert fisher.chart(profile, 1.0) is None


def test_seeds_are_pooled_and_the_reason_is_told(sample: ModuleType) -> None:
    (profile,) = fisher.profiles([gap(0.0, 0.2), gap(0.2, 0.4).model_copy(update={"seed": 1})])
    total = profile.total(DIFFERENCE, FIRST_HALF)
    assert total
    assert (total.value, total.low, total.seeds) == pytest.approx((0.2, 0.1, 2))
    assert fisher.profiles([sample.row("none", "random_latents", 0)]) == []  # the control searches nothing
    (unguided,) = fisher.profiles(
        [sample.row("none", "random_latents", 0).model_copy(update={"attack": "guess", "role": ""})]
    )
    assert unguided.sentence == "Cannot be told: the attack left no pictures along its search."
    assert len(unguided.layers) == 14


def test_what_describes_is_in_no_matrix_no_rank_and_no_utility(results: Results) -> None:
    (setup,) = setups(results)
    assert any(c.direction == Direction.DESCRIBES for c in setup.columns)
    assert not any(c.direction == Direction.DESCRIBES for c in (*setup.leaking, *setup.useful))


def test_the_section_has_a_chart_and_a_table_for_each_target(results: Results, rendered: str) -> None:
    (setup,) = setups(results)
    section = fisher.section(setup)
    assert section
    assert section.summary == "Of 11 pairs of target and attack, 3 agree, 5 contradict and 3 cannot tell."
    found = re.search(r'<section id="fisher".*?</section>', rendered, re.S)
    assert found
    assert found[0].count("<svg") == found[0].count("<table>") == 11
    assert found[0].count('class="bar"') == 11 * 2 * 14
    assert "stage4.0.shortcut.0" in found[0]
    outside = rendered.replace(found[0], "")
    assert "stage4.0.shortcut.0" not in outside[: outside.index('<script type="application/json"')]
    for _, chart in section.charts:
        assert chart
        for bar in chart.bars:
            assert chart.left <= bar.low <= bar.right <= bar.high <= chart.width
        ends = [bar.y + bar.height for bar in chart.bars]
        assert all(y.y >= end - 0.11 for y, end in zip(chart.bars[1:], ends, strict=False))


def test_no_section_without_figures(results: Results) -> None:
    bare = [
        row.model_copy(update={"figures": tuple(f for f in row.figures if not fisher.is_fisher(f))})
        for row in results.rows
    ]
    text = page.render(results.model_copy(update={"rows": tuple(bare)}))
    assert "#fisher" not in text
    assert 'id="fisher"' not in text


def test_charts_are_files_of_their_own(results: Results) -> None:
    charts = page.fisher_charts(results)
    assert set(charts) == {r.cell for r in results.rows if r.status == "done" and r.attack != "random_latents"}
    for text in charts.values():
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    evil = gap(0.1, 0.2)
    layer = evil.figures[0].model_copy(update={"quantity": LAYER_SHARE, "task": INVERSION, "layer": "<script>&"})
    text = page.fisher_charts(Results(title="", plan="", rows=(evil.model_copy(update={"figures": (layer,)}),)))[
        evil.cell
    ]
    assert "<script>" not in text
    ET.fromstring(text)
