from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from unveil.harness.figures.rows import Results, Row
from unveil.harness.words.names import Role
from unveil.leaderboard.axes import WIDTH, Axis
from unveil.leaderboard.board import board
from unveil.leaderboard.figures import Setup, setups, utility
from unveil.leaderboard.judges import is_ceiling, is_floor, judge_warnings
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.page import render
from unveil.leaderboard.scatter import scatter
from unveil.leaderboard.strips import people, tint
from unveil.leaderboard.verdict import verdict
from unveil.leaderboard.wording import number, plural, rank


@pytest.fixture(scope="module")
def setup(results: Results) -> Setup:
    (only,) = setups(results)
    return only


@pytest.fixture(scope="module")
def found(setup: Setup) -> Matrix:
    assert setup.headline
    return board(setup, ()).matrices[setup.headline]


def test_headline_is_top_1_by_the_first_judge_whatever_the_order_of_figures(sample: ModuleType) -> None:
    results = sample.results()
    turned = results.model_copy(update={"rows": tuple(
        r.model_copy(update={"figures": r.figures[::-1]}) for r in results.rows
    )})  # fmt: skip
    (setup,) = setups(turned)
    assert setup.headline
    assert setup.headline.name == "attack_accuracy/top-1@resnet18_open"
    assert setup.utility
    assert setup.utility.name == "utility/top-1"


def test_a_cell_is_the_mean_of_its_seeds(found: Matrix, results: Results) -> None:
    values = [
        f.value for r in results.rows if (r.defense, r.attack) == ("none", "gmi")
        for f in r.figures if f.name == found.column.name
    ]  # fmt: skip
    estimate = found.cells["none", "gmi"].estimate
    assert estimate
    assert estimate.value == pytest.approx(sum(v for v in values if v is not None) / 2)
    assert (estimate.seeds, estimate.samples, estimate.identities) == (2, 400, 40)


def test_failures_are_never_numbers(found: Matrix) -> None:
    cell = found.cells["tl_dmi+bido", "kedmi"]
    assert (cell.state, cell.estimate) == ("failed", None)
    assert "NaN in epoch 7" in cell.reasons[0]
    half = found.cells["bido", "kedmi"]
    assert (half.state, half.missing, half.seeds) == ("scored", 1, 2)


def test_a_failed_row_gives_no_number_even_if_it_measured_something(sample: ModuleType) -> None:
    good = sample.row("none", "gmi", 0)
    rows = (good.model_copy(update={"status": "failed", "error": "ValueError: fid"}),)
    (setup,) = setups(Results(title="t", plan="", rows=rows))
    assert setup.headline
    assert board(setup, ()).matrices[setup.headline].cells["none", "gmi"].state == "failed"
    assert setup.utility
    assert utility(setup, setup.utility)["none"].state == "scored"  # the target is whole


def test_means_are_over_the_attacks_that_all_have(found: Matrix) -> None:
    assert found.common == ("gmi", "plug_and_play_attack_with_a_very_long_name")
    assert found.means["none"].value == pytest.approx(
        sum(e.value for a in found.common if (e := found.cells["none", a].estimate)) / 2
    )
    assert found.mean_ranks["tl_dmi"] == (1, 4)  # two seeds say little of other trainings


def test_not_scored_keeps_its_reason(setup: Setup) -> None:
    fid = next(c for c in setup.columns if c.metric == "fid")
    shown = board(setup, ()).matrices[fid]
    assert shown.not_scored == ("fewer than 2,048 pictures: 200",)
    assert shown.means == {}


def test_setups_are_never_compared_with_each_other(results: Results) -> None:
    other = [r.model_copy(update={"data": "orl"}) for r in results.rows]
    both = setups(results.model_copy(update={"rows": (*results.rows, *other)}))
    assert [s.data for s in both] == ["people", "orl"]
    assert all(len(s.rows) == len(results.rows) for s in both)


def test_judges_are_judged(sample: ModuleType) -> None:
    good, bad = sample.judges()
    assert judge_warnings(good) == ()
    assert len(judge_warnings(bad)) == 2
    assert [is_floor(f) for f in good.figures] == [False, True, False, False]
    assert [is_ceiling(f) for f in good.figures] == [True, False, False, False]  # a poor calibration is no low ceiling
    assert "no GPU" in judge_warnings(good.model_copy(update={"status": "failed", "error": "no GPU"}))[0]


def test_the_verdict_says_what_the_intervals_allow(setup: Setup, results: Results) -> None:
    said = verdict(board(setup, results.judges))
    assert "none (undefended) lets 46\u00a0% [28,\u00a066] of reconstructions be recognised" in said.lead
    assert "tl_dmi+bido leaks less than no defense" in said.lead  # two seeds tell little
    assert (
        "tl_dmi and bido cannot be told apart from it: the difference may be chance, so nothing can be concluded"
        in said.lead
    )
    texts = " ".join(p.text for p in said.points)
    assert "Failed: bido × kedmi (seed 1) and tl_dmi+bido × kedmi (seed 1)" in texts
    assert "Left out of the averages, since not scored on every defense: kedmi" in texts
    assert "paired over the same 40 people" in texts


def test_an_unfit_judge_or_luck_voids_the_verdict(sample: ModuleType, results: Results) -> None:
    good, bad = sample.judges()
    alone = results.model_copy(update={"judges": (bad,)})
    assert "not fit to judge" in verdict(board(setups(alone)[0], alone.judges)).lead
    turned = results.model_copy(update={"judges": (bad, good)})
    by_the_other = verdict(board(setups(turned)[0], turned.judges)).lead
    assert "lets 46\u00a0% [28,\u00a066] of reconstructions" in by_the_other
    assert "(efficientnet_closed, the first judge, which is not fit, alone: 41\u00a0%" in by_the_other
    lucky = [
        sample.row("none", "random_latents", 0).model_copy(update={"attack": "gmi", "role": ""}),
        sample.row("none", "random_latents", 0),
    ]
    assert "pure luck" in verdict(board(setups(Results(title="", plan="", rows=tuple(lucky)))[0], ())).lead


def test_controls_stand_apart_and_count_in_nothing(sample: ModuleType) -> None:
    def control(defense: str, name: str, role: Role) -> Row:
        row: Row = sample.row(defense, "gmi", 0)
        return row.model_copy(update={"attack": name, "role": role})

    attacks = [sample.row(d, a, 0) for d in sample.DEFENSES for a in ("gmi", "random_latents")]
    roles = {"best": Role.CEILING, "fooled": Role.GULLIBILITY, "luck": Role.FLOOR}
    controls = [control(d, name, role) for d in sample.DEFENSES for name, role in roles.items()]
    (plain,) = setups(Results(title="", plan="", rows=tuple(attacks)))
    (more,) = setups(Results(title="", plan="", rows=tuple(attacks + controls)))
    assert more.attacks == plain.attacks == ("gmi",)
    assert more.controls == ("random_latents", "luck", "fooled", "best")
    assert plain.headline
    before, after = (board(setup, ()).matrices[plain.headline] for setup in (plain, more))
    assert (before.means, before.ranks, before.mean_ranks) == (after.means, after.ranks, after.mean_ranks)
    low = after.floor
    old = before.floor
    assert low
    assert old
    assert old.value < low.value < after.means["none"].value  # the mean of both floors, and of no other control
    points = [p.text for p in verdict(board(more, ())).points if p.tone != "fault"]
    assert [text for text in points if "best" in text or "fooled" in text] == []
    page = render(Results(title="", plan="", rows=tuple(attacks + controls)))
    assert all(f"{head}<small>" in page for head in ("Luck", "Gullibility", "Ceiling"))


@pytest.mark.parametrize("keep", [{"gmi"}, {"random_latents"}, set()])
def test_small_matrices_have_a_verdict_too(sample: ModuleType, keep: set[str]) -> None:
    rows = [sample.row(d, a, 0) for d in ("tl_dmi",) for a in keep]
    names = {"data": "people", "model": "small_resnet", "defense": "none", "attack": "gmi", "seed": 0}
    rows += [Row(**names, access="white-box", status="failed", error="x")]
    (setup,) = setups(Results(title="", plan="", rows=tuple(rows)))
    assert verdict(board(setup, ())).lead


def test_floor_and_tint(found: Matrix, setup: Setup) -> None:
    low = found.floor
    assert low
    assert low.value < 0.05
    assert tint(found, low) == 0
    high = found.cells["none", "kedmi"].estimate
    assert high
    assert tint(found, high) == 6


def test_scatter_labels_neither_overlap_nor_leave_the_picture(found: Matrix, setup: Setup) -> None:
    plot = scatter(board(setup, ()))
    assert plot
    assert len(plot.marks) == 11  # 4 x 3, one failed
    boxes = [(lab.x, lab.x + 7.4 * len(lab.text), lab.y) for lab in plot.labels]
    for i, (left, right, y) in enumerate(boxes):
        assert left >= plot.left
        assert right <= WIDTH
        assert all(y != v or right < a or b < left for a, b, v in boxes[i + 1 :])
        assert not any(left < a < right and v < y for a, _, v in boxes)  # no pole through a name below it
    assert all(plot.top <= m.top <= m.y <= m.bottom <= plot.bottom for m in plot.marks)


def test_strip_has_one_bar_a_person() -> None:
    assert people({"a": 1.0, "b": 0.5, "c": 0.0}, (0, 1)) == "M1.5 28v-28M5.5 28v-14M9.5 28v-1"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.615, "share", "62 %"), (0.004, "share", "0.4 %"), (1.0, "share", "100 %"), (0.998, "share", "99.8 %"),
     (-0.0001, "d", "−0.0001"), (1234.5, "d", "1,234"), (float("inf"), "d", "∞"), (0.0, "share", "0 %")],
)  # fmt: skip
def test_numbers(value: float, unit: str, text: str) -> None:
    assert number(value, unit).replace("\u00a0", " ") == text


def test_words() -> None:
    assert (rank((1, 1)), rank((1, 2))) == ("rank 1", "tie, rank 1–2")
    assert (plural(1, "person", "people"), plural(2, "person", "people")) == ("1 person", "2 people")


def test_no_torch() -> None:
    code = "import sys, unveil.leaderboard.page; assert 'torch' not in sys.modules and 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.88, 1.0, ["90.0 %", "92.5 %", "95.0 %", "97.5 %", "100.0 %"]),
        (0.0, 1.0, ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
    ],
)
def test_ticks_say_where_they_are(low: float, high: float, texts: list[str]) -> None:
    found = [text.replace("\u00a0", " ") for _, text in Axis(low, high, 0, 100).ticks("share")]
    assert found == texts
