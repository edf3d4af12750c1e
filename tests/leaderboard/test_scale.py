"""Attack accuracy on the scale of its controls, by hand; what the controls say against a judge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unveil.harness.figures.intervals import interval
from unveil.harness.figures.rows import Figure, Judge, Results, Row
from unveil.leaderboard import page
from unveil.leaderboard.board import board
from unveil.leaderboard.figures import setups
from unveil.leaderboard.scale import Fault, Scaled, scales
from unveil.leaderboard.verdict import verdict

JUDGE = "judge"
ROLES = {
    "random_latents": "floor",
    "held_out_private": "ceiling",
    "pixel_adversarial": "gullibility",
    "public_lookalikes": "gullibility",
}


def share(people: list[float] | float, column: str = "top-1", metric: str = "attack_accuracy", **more) -> Figure:
    """A share; a bare number comes without people and without an interval."""
    known = isinstance(people, list)
    ends = dict(zip(("low", "high"), interval(people, range(len(people)), bounds=(0, 1)), strict=True)) if known else {}
    return Figure(
        **{"metric": metric, "column": column, "judge": JUDGE, "direction": "higher leaks more"} | more, **ends,
        unit="share", range=(0, 1), value=float(np.mean(people)),
        per_identity={str(i): v for i, v in enumerate(people)} if known else {},
    )  # fmt: skip


def row(attack: str, people: list[float] | float, defense: str = "none", seed: int = 0, column: str = "top-1") -> Row:
    return Row(
        data="d", model="m", defense=defense, attack=attack, seed=seed, role=ROLES.get(attack, ""), status="done",
        figures=(share(people, column),),
    )  # fmt: skip


def judge(ceiling: list[float] | float) -> Judge:
    own = {"judge": None, "direction": "higher is more useful"}
    return Judge(
        data="d", name=JUDGE, model="x", knows="", figures=(share(ceiling, "accepts held-out private", "trust", **own),)
    )


def lines(*rows: Row, judges: tuple[Judge, ...] = ()) -> tuple[Scaled, ...]:
    (setup,) = setups(Results(title="t", plan="", rows=rows))
    (made,) = scales(setup, tuple(board(setup, judges).matrices.values()), judges)
    return made.lines


def found(*rows: Row, judges: tuple[Judge, ...] = ()) -> tuple[Fault, ...]:
    (setup,) = setups(Results(title="t", plan="", rows=rows))
    return board(setup, judges).faults


def test_the_scale_by_hand() -> None:
    rows = [row("gmi", [0.6] * 30), row("random_latents", [0.1] * 30), row("held_out_private", [0.9] * 30)]
    (line,) = lines(*rows, row("pixel_adversarial", [0.25] * 30))
    assert line.raw.value == pytest.approx(0.6)
    for answer, wanted in ((line.above, 0.5), (line.way, 0.625)):
        assert answer.estimate
        e = answer.estimate
        assert (e.value, e.low, e.high) == pytest.approx((wanted, wanted, wanted))  # all people are alike
    assert line.ends.ticks == (("floor", 10.0), ("ceiling", 90.0), ("fooled", 25.0))
    below = lines(row("gmi", [0.05] * 30), *rows[1:])[0]
    assert below.above.estimate
    assert below.way.estimate
    assert (below.above.estimate.value, below.way.estimate.value) == pytest.approx((-0.05, -0.0625))


def test_the_same_people_are_drawn_for_attack_floor_and_ceiling() -> None:
    rng = np.random.default_rng(0)
    luck = rng.random(40) * 0.3
    noisy = luck + 0.3 + rng.normal(0, 0.05, 40)
    (line,) = lines(
        row("gmi", list(luck + 0.3)), row("random_latents", list(luck)), row("held_out_private", list(luck + 0.6))
    )
    for answer, wanted in ((line.above, 0.3), (line.way, 0.5)):
        assert answer.estimate
        e = answer.estimate
        assert (e.value, e.low, e.high) == pytest.approx((wanted, wanted, wanted))  # though people differ a lot
    (line,) = lines(
        row("gmi", list(noisy)), row("random_latents", list(luck)), row("held_out_private", list(luck + 0.6))
    )
    assert line.way.estimate
    assert line.way.estimate.low is not None
    half = 2.02 * (noisy - luck).std(ddof=1) / 0.6 / math.sqrt(40)  # delta method, the denominator is constant
    assert line.way.estimate.low == pytest.approx(line.way.estimate.value - half, abs=0.01)


def test_seeds_that_agree_change_nothing_and_seeds_that_do_not_widen() -> None:
    rng = np.random.default_rng(1)
    people = {
        a: rng.random(20) * 0.2 + by for a, by in (("gmi", 0.4), ("random_latents", 0.0), ("held_out_private", 0.7))
    }

    def told(*moves: float) -> Scaled:
        rows = (row(a, list(v + (a == "gmi") * m), seed=n) for n, m in enumerate(moves) for a, v in people.items())
        (line,) = lines(*rows)
        return line

    one, alike, apart = told(0.0), told(0.0, 0.0), told(-0.1, 0.1)
    for a, b, c in ((one.above, alike.above, apart.above), (one.way, alike.way, apart.way)):
        assert a.estimate
        assert b.estimate
        assert c.estimate
        assert b.estimate.ends == pytest.approx(a.estimate.ends)
        assert c.estimate.value == pytest.approx(a.estimate.value)
    assert apart.above.estimate
    low, high = apart.above.estimate.ends
    assert high - low > 1.8  # of two trainings that lie 20 points apart, next to nothing is known: t(1) = 12.7


def test_nobody_recognised_is_not_certainty() -> None:
    nobody = [0.0] * 40
    (line,) = lines(row("gmi", nobody), row("random_latents", nobody), row("held_out_private", [0.8] * 40))
    assert line.above.estimate
    assert line.way.estimate
    assert line.above.estimate.ends == pytest.approx((-0.0876, 0.0876), abs=1e-3)  # Wilson, 0 of 40, either way
    assert line.way.estimate.ends == pytest.approx((-0.0876 / 0.8, 0.0876 / 0.8), abs=1e-3)


def test_what_is_missing_or_degenerate_is_not_scored() -> None:
    gmi, luck = row("gmi", [0.6] * 30), row("random_latents", [0.1] * 30)
    (line,) = lines(gmi)
    assert line.above.reason == line.way.reason == "no floor: random_latents was not run"
    (line,) = lines(gmi, luck)
    assert line.above.estimate
    assert line.way.reason == "no ceiling: held_out_private was not run"
    broken = row("held_out_private", 0.9).model_copy(update={"status": "failed", "error": "ValueError: x\nmore"})
    assert lines(gmi, luck, broken)[0].way.reason == "no ceiling: seed 0: ValueError: x"
    flat = lines(gmi, luck, row("held_out_private", [0.1] * 30))[0]
    assert flat.way.reason == "the ceiling (10\u00a0%) is not above the floor (10\u00a0%)"
    rng = np.random.default_rng(2)
    near = list(np.clip(0.1 + rng.normal(0.01, 0.1, 30), 0, 1))
    reason = lines(gmi, luck, row("held_out_private", near))[0].way.reason
    assert reason.startswith("the ceiling is too near the floor: above it in only ")


def test_the_judge_s_own_ceiling_stands_in_for_top_1_alone() -> None:
    gmi, luck = row("gmi", [0.5] * 30), row("random_latents", [0.1] * 30)
    own = (judge([0.9] * 30),)
    (line,) = lines(gmi, luck, judges=own)
    assert line.way.estimate
    assert line.way.estimate.value == pytest.approx(0.5)
    measured = lines(gmi, luck, row("held_out_private", [0.6] * 30), judges=own)[0]
    assert measured.way.estimate
    assert measured.way.estimate.value == pytest.approx(0.8)  # a control goes before it
    other = [row(r.attack, [0.5] * 30, column="top-5") for r in (gmi, luck)]
    assert lines(*other, judges=own)[0].way.reason == "no ceiling: held_out_private was not run"
    unknown = lines(gmi, luck, judges=(judge(0.9),))[0].way.estimate
    assert unknown
    assert (unknown.value, unknown.low) == (pytest.approx(0.5), None)  # nobody's people, no interval


def test_every_defense_has_its_own_floor() -> None:
    rows = [
        row(a, [v] * 30, d) for d, u in (("none", 0.1), ("ls", 0.3)) for a, v in (("gmi", 0.5), ("random_latents", u))
    ]
    values = [line.above.estimate.value for line in lines(*rows) if line.above.estimate]
    assert values == pytest.approx([0.4, 0.2])


def test_controls_speak_against_a_judge() -> None:
    gmi = row("gmi", [0.6] * 30)
    good = [
        row("random_latents", [0.02] * 30),
        row("held_out_private", [0.9] * 30),
        row("pixel_adversarial", [0.2] * 30),
    ]
    assert found(gmi, *good) == ()
    bad = found(
        gmi,
        row("random_latents", [0.18, 0.22] * 15),
        row("held_out_private", [0.7] * 30),
        row("pixel_adversarial", [0.38, 0.42] * 15),
    )
    assert [f.voids for f in bad] == [True, True, False]
    texts = [f.text.replace("\u00a0", " ") for f in bad]
    assert texts[0] == "accepts only 70 % of held-out private pictures, the ceiling"
    assert texts[1] == "accepts 20 % of what luck makes, the floor"
    assert texts[2].startswith("accepts 40 % of adversarial pixels (pixel_adversarial), more than half of the 60 %")
    low = row("held_out_private", [0.7] * 30)
    assert found(gmi, low, judges=(judge([0.6] * 30),)) == ()  # the judge says so of itself already
    defended = [row("gmi", [0.1] * 30, "mid"), row("pixel_adversarial", [0.2] * 30, "mid")]
    assert found(gmi, good[2], *defended) == ()  # a good defense makes attacks weak
    assert found(row("gmi", [0.02] * 30), good[0], row("pixel_adversarial", [0.02] * 30)) == ()  # all of it is luck


def test_faults_lead_the_page_in_red_and_void_the_verdict() -> None:
    rows = (
        row("gmi", [0.6] * 30), row("random_latents", [0.18, 0.22] * 15), row("held_out_private", [0.9] * 30),
        row("pixel_adversarial", [0.38, 0.42] * 15), row("public_lookalikes", [0.1] * 30),
    )  # fmt: skip
    (setup,) = setups(Results(title="t", plan="", rows=rows))
    said = verdict(board(setup, ()))
    assert (
        "not fit to judge (accepts 20\u00a0% of what luck makes, the floor), so nothing can be concluded" in said.lead
    )
    assert [p.tone for p in said.points[:3]] == ["fault", "fault", "plain"]
    assert said.points[0].text.endswith("the benchmark, not the defense, is at fault.")
    text = page.render(Results(title="t", plan="", rows=rows)).replace("\u00a0", " ")
    assert "On the scale of the controls" in text
    assert '<li class="fault warning">' in text
    words = text[text.index('id="scale"') :]
    assert "judge accepts 40 %" in words
    assert "of adversarial pixels (pixel_adversarial) and 10 %" in words
    assert "of public look-alikes (public_lookalikes), which show somebody else" in words
    assert 'class="fooled" d="M40.0 1V15"' in words
    assert "On the scale of the controls" not in page.render(Results(title="t", plan="", rows=rows[1:]))


def test_five_people_tell_that_look_alikes_are_more_than_luck() -> None:
    """Person by person they are far apart, though the intervals of so few people overlap."""
    fooled, luck = [0.9, 1.0, 0.95, 0.9, 0.95], [0.3, 0.25, 0.3, 0.2, 0.3]
    rows = row("gmi", [0.95] * 5), row("public_lookalikes", fooled), row("random_latents", luck)
    (line,) = lines(*rows)
    assert line.ends.floor.estimate
    assert line.ends.fooled["public_lookalikes"].ends[0] < line.ends.floor.estimate.ends[1]
    assert "more than half" in " ".join(fault.text for fault in found(*rows))
