"""Defenses at equal utility: curves worked out by hand, degenerate ones, and intervals that hold what they should."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.words.names import Strength
from unveil.leaderboard import page, polyline
from unveil.leaderboard.curves import curves
from unveil.leaderboard.figures import setups
from unveil.leaderboard.tradeoff import AREA, Answer, Tradeoff, comparison, tradeoff, tradeoffs

JUDGE = "judge"


def figure(metric: str, people: list[float] | float, judge: str | None = None) -> Figure:
    """A share; a bare number comes without people."""
    known = isinstance(people, list)
    return Figure(
        metric=metric, column="top-1", judge=judge, unit="share", range=(0, 1),
        direction="higher leaks more" if metric == "attack_accuracy" else "higher is more useful",
        value=float(np.mean(people)), low=0.0, high=1.0, samples=10, identities=len(people) if known else 0,
        per_identity={str(i): v for i, v in enumerate(people)} if known else {},
    )  # fmt: skip


def row(defense: str, utility, leak, *, family: str = "", seed: int = 0, judges=(JUDGE,)) -> Row:
    figures = (*(figure("attack_accuracy", leak, j) for j in judges), figure("utility", utility))
    setting, _, value = defense.removeprefix(family).strip().partition("=")
    strength = Strength(setting=setting, value=value) if family else None
    return Row(
        data="d", model="m", defense=defense, attack="gmi", seed=seed, family=family or defense, strength=strength,
        status="done", figures=figures,
    )  # fmt: skip


def flat(defense: str, utility: float, leak: float, family: str = "") -> Row:
    """Thirty people who are all alike: what is measured is what is drawn."""
    return row(defense, [utility] * 30, [leak] * 30, family=family)


def compared(*rows: Row) -> Tradeoff:
    (setup,) = setups(Results(title="t", plan="", rows=rows))
    ((found,),) = tradeoffs(setup).values()
    return found


def value(answer) -> float | None:
    return None if answer.estimate is None else pytest.approx(answer.estimate.value)


NONE = flat("none", 0.9, 0.6)
MID = [flat(f"mid beta={b}", u, v, "mid") for b, u, v in ((1, 0.89, 0.5), (2, 0.86, 0.35), (3, 0.84, 0.3))]


def test_a_polyline_by_hand() -> None:
    x, y = polyline.ordered(np.array([[3.0, 1, 2, 2]]), np.array([[0.0, 4, 1, 3]]))
    assert x.tolist() == [[1, 2, 2, 3]]
    assert y.tolist() == [[4, 2, 2, 0]]  # two points at 2 become their mean
    places = [0.9, 1, 1.25, 2, 2.5, 3, 3.1]
    heights = [float(polyline.at(x, y, np.array([p]))[0]) for p in places]
    assert heights == pytest.approx([np.nan, 4, 3.5, 2, 1, 0, np.nan], nan_ok=True)
    cases = {(1, 3): 2, (1, 2): 3, (1.5, 2.5): 2, (2.5, 3): 0.5, (0, 3): np.nan, (2, 2): np.nan}
    for (low, high), mean in cases.items():
        found = polyline.mean(x, y, np.array([float(low)]), np.array([float(high)]))
        assert float(found[0]) == pytest.approx(mean, nan_ok=True)


def test_means_over_a_range_agree_with_a_fine_grid() -> None:
    rng = np.random.default_rng(0)
    x, y = polyline.ordered(rng.random((50, 6)).round(1), rng.random((50, 6)))
    low, high = x[:, 0] + 0.3 * (x[:, -1] - x[:, 0]), x[:, 0] + 0.9 * (x[:, -1] - x[:, 0])
    steps = (np.arange(4000) + 0.5) / 4000
    grid = np.stack([polyline.at(x, y, low + s * (high - low)) for s in steps]).mean(0)
    assert polyline.mean(x, y, low, high) == pytest.approx(grid, abs=2e-3)


def test_leakage_at_equal_utility_by_hand() -> None:
    found = compared(NONE, *MID, flat("ls", 0.87, 0.54))
    assert [(f.name, len(f.points)) for f in found.families] == [("mid", 3), ("ls", 1)]
    assert [value(found.matched["mid", c]) for c in (0.01, 0.02, 0.05)] == [0.5, 0.45, 0.325]
    assert [value(found.matched["ls", c]) for c in (0.01, 0.02)] == [0.58, 0.56]  # a third, two thirds of the way
    assert found.matched["ls", 0.05].estimate is None  # never beyond the end
    assert found.matched["ls", 0.05].reason == "not reached: it costs 3.0 points at most"
    assert value(found.below["mid", 0.05]) == 0.275
    # over 87 to 90 %: mid (0.55 * 1 + 0.45 * 2) / 3, ls halfway
    assert found.shared == pytest.approx((0.87, 0.9))
    assert value(found.matched["mid", AREA]) == (0.55 + 2 * 0.45) / 3
    assert value(found.matched["ls", AREA]) == 0.57
    gap = found.gaps["mid", "ls", 0.02]
    assert value(gap) == -0.11
    assert gap.decided
    assert comparison(gap, "mid", "ls") == "mid leaks 11.0 points less"
    assert found.gaps["mid", "ls", 0.05].reason == "not reached: it costs 3.0 points at most"


def test_the_published_ratio_and_its_caveats() -> None:
    # the numbers of the RoLSS page for ResNet-34
    found = compared(flat("none", 0.9469, 0.9078), flat("rolss", 0.9138, 0.7186), flat("ssf", 0.9421, 0.7979))
    assert found.deltas["rolss"].ratio.estimate
    assert found.deltas["rolss"].ratio.estimate.value == pytest.approx(5.72, abs=0.005)
    assert found.deltas["ssf"].ratio.estimate
    assert found.deltas["ssf"].ratio.estimate.value == pytest.approx(22.90, abs=0.01)
    better = compared(NONE, flat("lucky", 0.91, 0.3)).deltas["lucky"]
    assert better.ratio.reason == "undefined: utility does not drop"
    assert (value(better.leak), value(better.utility)) == (0.3, -0.01)
    rng = np.random.default_rng(1)
    base = rng.random(40)
    near = compared(
        row("none", list(base), [0.5] * 40), row("near", list(base - 0.4 * (rng.random(40) - 0.49)), [0.2] * 40)
    )
    assert near.deltas["near"].caveat == "unstable: the drop in utility cannot be told from none"


def test_degenerate_curves() -> None:
    free = compared(NONE, flat("post", 0.9, 0.3))  # protects and costs nothing
    assert free.matched["post", 0.01].reason == free.matched["post", AREA].reason == "not reached: it costs nothing"
    assert free.shared is None
    zigzag = compared(
        NONE, *(flat(f"z {i}", u, v, "z") for i, (u, v) in enumerate([(0.86, 0.2), (0.88, 0.5), (0.95, 0.9)]))
    )
    assert value(zigzag.matched["z", 0.01]) == 0.55  # in the order of utility, and of those above none as well
    assert zigzag.shared == pytest.approx((0.86, 0.95))
    twins = compared(NONE, flat("t 1", 0.88, 0.2, "t"), flat("t 2", 0.88, 0.4, "t"))
    assert value(twins.matched["t", 0.02]) == 0.3
    zero = compared(NONE, flat("s 0", 0.9, 0.6, "s"), flat("s 1", 0.88, 0.4, "s"))  # strength zero twice
    assert value(zero.matched["s", 0.01]) == 0.5


def test_without_people_there_is_no_interval_and_no_verdict() -> None:
    found = compared(row("none", 0.9, 0.6), row("mid", 0.85, 0.2))
    answer = found.matched["mid", 0.05]
    assert answer.estimate
    assert (answer.estimate.value, answer.estimate.low) == (pytest.approx(0.2), None)
    assert found.people == 0
    assert not found.below["mid", 0.05].decided
    assert found.deltas["mid"].ratio.estimate
    assert found.deltas["mid"].ratio.estimate.low is None


def test_failures_are_named_and_left_out() -> None:
    failed = MID[2].model_copy(update={"status": "failed", "error": "ValueError: x\nmore"})
    found = compared(NONE, *MID[:2], failed)
    assert found.families[0].missing == ("mid beta=3: ValueError: x",)
    assert found.matched["mid", 0.05].reason == "not reached: it costs 4.0 points at most"
    lost = compared(NONE, failed)
    assert lost.matched["mid", 0.01].reason == "no strength was scored: mid beta=3: ValueError: x"
    assert curves(lost) is None
    headless = compared(NONE.model_copy(update={"status": "failed", "error": "e"}), *MID)
    assert headless.none is None
    for rows in ((NONE, failed), (NONE.model_copy(update={"status": "failed", "error": "e"}), *MID)):
        assert "Privacy against utility" in page.render(Results(title="t", plan="", rows=rows))


def test_the_end_of_a_curve_is_reached_in_nearly_all_draws_or_not_at_all() -> None:
    rng = np.random.default_rng(2)
    base = rng.random(40)
    utility = base - 0.1 * rng.random(40)
    cost = float((base - utility).mean())
    utility += cost - 0.0501  # hardly more than five points, on average
    found = compared(row("none", list(base), [0.6] * 40), row("mid", list(utility), [0.2] * 40))
    assert re.fullmatch(r"too near the end .* in only \d\d % of the resamples", found.matched["mid", 0.05].reason)
    assert found.matched["mid", 0.01].estimate


def test_points_are_means_over_the_seeds_that_have_both_figures() -> None:
    rng = np.random.default_rng(3)
    seeds = [[list(rng.random(20)) for _ in range(4)] for _ in range(2)]
    rows = [row(d, s[2 * i], s[2 * i + 1], seed=n) for n, s in enumerate(seeds) for i, d in enumerate(("none", "mid"))]
    found = compared(*rows)
    means = [list(np.mean([s[i] for s in seeds], axis=0)) for i in range(4)]
    once = compared(row("none", *means[:2]), row("mid", *means[2:]))
    (a,), (b,) = (f.families[0].points for f in (found, once))
    assert a.leak.per_identity == pytest.approx(b.leak.per_identity)
    x, y = found.deltas["mid"].leak.estimate, once.deltas["mid"].leak.estimate
    assert x
    assert y
    assert x.value == pytest.approx(y.value)
    unequal = compared(*rows[:3], rows[3].model_copy(update={"status": "failed", "error": "e"}))
    assert unequal.families[0].points[0].leak.seeds == 1


def test_trainings_that_disagree_undo_what_people_seem_to_decide() -> None:
    rng = np.random.default_rng(5)
    base = rng.random(40) * 0.2 + 0.6

    def gap(*moves: float) -> Answer:
        rows = []
        for seed, move in enumerate(moves):
            rows += [row("none", [0.9] * 40, list(base), seed=seed)]
            rows += [row("a", [0.85] * 40, list(base - 0.2 + rng.normal(0, 0.05, 40)), seed=seed)]
            rows += [row("b", [0.85] * 40, list(base - 0.2 - move + rng.normal(0, 0.05, 40)), seed=seed)]
        return compared(*rows).gaps["a", "b", 0.05]

    assert gap(0.1).decided
    assert gap(0.1, 0.1, 0.1).decided  # three trainings agree
    assert not gap(0.3, 0.0, 0.0).decided  # the same mean, from one training alone
    assert gap(0.3, 0.0, 0.0).estimate


def test_people_attacked_with_one_seed_only_count_where_they_were() -> None:
    first, second = figure("attack_accuracy", [0.2, 0.4]), figure("attack_accuracy", [0.6, 0.8])
    moved = second.model_copy(update={"per_identity": {"1": 0.6, "2": 0.8}})
    rows = []
    for seed, leak in enumerate((first, moved)):
        for defense, by in (("none", 0.9), ("mid", 0.8)):
            judged = leak.model_copy(update={"judge": JUDGE})
            plain = row(defense, [by] * 3, [0.0], seed=seed)
            rows.append(plain.model_copy(update={"figures": (judged, plain.figures[-1])}))
    point = compared(*rows).families[0].points[0]
    assert point.leak.per_identity == pytest.approx({"0": 0.2, "1": 0.5, "2": 0.8})


def simulated(rng: np.random.Generator, shift: float) -> Tradeoff:
    """Two families with the same true curve, the second leaking less by ``shift``; 60 people of unequal ease."""
    ease, clever = rng.normal(0, 0.15, 60), rng.normal(0, 0.05, 60)

    def one(name: str, family: str, utility: float, leak: float) -> Row:
        known = rng.binomial(10, np.clip(utility + clever, 0, 1)) / 10
        hits = rng.binomial(5, np.clip(leak + ease, 0, 1)) / 5
        return row(name, list(known), list(hits), family=family)

    points = [(0.87, 0.45), (0.82, 0.35), (0.76, 0.23)]
    rows = [one(f"{f} {i}", f, u, v - (f == "b") * shift) for f in "ab" for i, (u, v) in enumerate(points)]
    (setup,) = setups(Results(title="t", plan="", rows=(one("none", "none", 0.9, 0.51), *rows)))
    assert setup.headline
    assert setup.utility
    return tradeoff(setup.rows, "gmi", setup.headline, setup.utility, resamples=400)


def test_differences_under_the_null_are_told_apart_about_once_in_twenty() -> None:
    rng = np.random.default_rng(4)
    runs = [simulated(rng, 0.0) for _ in range(40)]
    for c in (0.02, 0.05, AREA):
        gaps = [run.gaps["a", "b", c] for run in runs]
        scored = [gap for gap in gaps if gap.estimate]
        assert len(scored) > 30
        assert 0.88 <= sum(not gap.decided for gap in scored) / len(scored) <= 1.0
    clear = [simulated(rng, 0.2).gaps["a", "b", 0.05] for _ in range(10)]
    assert sum(comparison(gap, "a", "b").startswith("b leaks") for gap in clear if gap.estimate) >= 6


def test_the_same_rows_give_the_same_numbers_and_a_page_shows_them() -> None:
    rows = (NONE, *MID, flat("rounded_scores", 0.9, 0.4))
    assert compared(*rows) == compared(*rows)
    text = page.render(Results(title="t", plan="", rows=rows))
    for shown in (
        "At equal utility",
        "not reached: it costs nothing",
        "undefined: utility does not drop",
        "32.5\u00a0%",
    ):
        assert shown in text
    drawing = text[text.index('id="tradeoff"') :]
    assert drawing.count('class="line') == 2
    assert drawing.count('class="mark') == 5
    alone = page.render(Results(title="t", plan="", rows=(NONE,)))
    assert "At equal utility" not in alone


def test_other_judges_are_folded_away() -> None:
    rows = [
        row(r.defense, [u] * 9, [v] * 9, judges=("first", "second"))
        for r, u, v in ((NONE, 0.9, 0.6), (MID[0], 0.8, 0.3))
    ]
    (setup,) = setups(Results(title="t", plan="", rows=tuple(rows)))
    assert list(tradeoffs(setup)) == ["first", "second"]
    assert "<summary>Judged by second</summary>" in page.render(Results(title="t", plan="", rows=tuple(rows)))
