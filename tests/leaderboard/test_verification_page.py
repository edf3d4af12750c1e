"""The section on face verification: what belongs to the system, what to an attack, and the ROC by hand."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from unveil.harness.figures.intervals import interval
from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.words.names import GENUINE, OTHERS, THRESHOLD, VERIFIED, Quantity
from unveil.leaderboard import page
from unveil.leaderboard.figures import setups
from unveil.leaderboard.roc import roc
from unveil.leaderboard.verification import System, is_system, systems

LEAKS, DESCRIBES = "higher leaks more", "neither better nor worse"


def at(quantity: str, rate: float) -> Quantity:
    return Quantity(quantity=quantity, rate=rate)


def share(about: Quantity, people: list[float] | None, direction: str = LEAKS, metric: str = "verification") -> Figure:
    ends, value = {}, None
    if people is not None:
        value = float(np.mean(people))
        ends = dict(zip(("low", "high"), interval(people, range(len(people)), bounds=(0, 1)), strict=True))
    return Figure(
        **dict(about), metric=metric, unit="share", direction=direction, range=(0, 1), value=value, **ends,
        per_identity={str(i): v for i, v in enumerate(people or [])},
        reason="300 pairs do not resolve it" if people is None else None,
    )  # fmt: skip


def own(others: float = 0.01, metric: str = "verification") -> tuple[Figure, ...]:
    """Thirty people; 1 % is resolved, 0.1 % is not."""
    similarity = {"metric": metric, "unit": "cosine similarity", "direction": DESCRIBES, "range": (-1, 1)}
    return (
        share(at(GENUINE, 0.01), [0.9] * 30, DESCRIBES, metric),
        share(at(OTHERS, 0.01), [others] * 30, DESCRIBES, metric),
        Figure(quantity=THRESHOLD, rate=0.01, value=0.3, low=0.28, high=0.32, **similarity),
        share(at(GENUINE, 0.001), None, DESCRIBES, metric),
        Figure(quantity=THRESHOLD, rate=0.001, reason="300 pairs do not resolve it", **similarity),
        share(at(GENUINE, 0.1), [1.0] * 30, DESCRIBES, metric),
        share(at(GENUINE, 0.03), [0.95] * 30, DESCRIBES, metric),
    )


def row(attack: str, verified: float, defense: str = "none", role: str = "", **more) -> Row:
    figures = (
        share(at(VERIFIED, 0.01), [verified] * 30), share(at(VERIFIED, 0.001), None), *own(**more)
    )  # fmt: skip
    return Row(
        data="d", model="m", defense=defense, attack=attack, seed=0, role=role, status="done", figures=figures
    )  # fmt: skip


def found(*rows: Row) -> System:
    (setup,) = setups(Results(title="t", plan="", rows=rows))
    (system,) = systems(setup)
    return system


def test_what_belongs_to_the_system_is_told_once_and_attacks_line_by_line() -> None:
    rows = (row("gmi", 0.4), row("random_latents", 0.01, role="floor"), row("gmi", 0.2, "mid"))
    failed = Row(data="d", model="m", defense="mid", attack="kedmi", seed=0, status="failed", error="no")
    system = found(failed, *rows)
    assert [p.rate for p in system.points] == ["1 %", "0.1 %"]
    first, second = system.points
    assert first.threshold.estimate
    assert (first.far, first.threshold.estimate.ends) == (0.01, (0.28, 0.32))
    assert (second.threshold.estimate, second.threshold.reasons) == (None, ("300 pairs do not resolve it",))
    assert [far for far, _ in system.curve] == [0.01, 0.03, 0.1]
    assert [(line.defense, line.attack, line.role) for line in system.lines] == [
        ("mid", "kedmi", ""), ("mid", "gmi", ""), ("none", "gmi", ""), ("none", "random_latents", "floor"),
    ]  # fmt: skip
    assert [line.verified[0.01].state for line in system.lines] == ["failed", "scored", "scored", "scored"]
    assert system.lines[2].verified[0.01].estimate
    assert system.lines[2].verified[0.01].estimate.value == pytest.approx(0.4)


def test_a_threshold_that_lets_private_people_pass_for_each_other_is_told() -> None:
    assert [found(row("gmi", 0.4, others=o)).points[0].loose for o in (0.01, 0.02, 0.3)] == [False, False, True]
    text = page.render(Results(title="t", plan="", rows=(row("gmi", 0.4, others=0.3),)))
    assert "surely more than twice the stated rate" in text


def test_two_systems_stand_apart_and_one_without_numbers_is_left_out() -> None:
    twice = row("gmi", 0.4)
    other = tuple(f.model_copy(update={"metric": "arcface"}) for f in twice.figures)
    nothing = share(at(VERIFIED, 0.01), None, metric="no weights")
    twice = twice.model_copy(update={"figures": (*twice.figures, *other, nothing)})
    (setup,) = setups(Results(title="t", plan="", rows=(twice,)))
    assert [s.name for s in systems(setup)] == ["verification", "arcface"]
    alone = twice.model_copy(update={"figures": (nothing,)})
    assert 'id="verification"' not in page.render(Results(title="t", plan="", rows=(alone,)))


def test_the_curve_is_logarithmic_and_its_band_holds_its_line() -> None:
    curve = roc(found(row("gmi", 0.4), row("kedmi", 0.6), row("random_latents", 0.01, role="floor")))
    assert curve
    numbers = [tuple(map(float, corner.split())) for corner in curve.line[1:].split("L")]
    steps = np.diff([x for x, _ in numbers])
    assert steps[0] / steps[1] == pytest.approx(np.log(3) / np.log(10 / 3), rel=0.01)
    heights = [(curve.bottom - y) / (curve.bottom - curve.top) for _, y in numbers]
    assert heights == pytest.approx([0.9, 0.95, 1.0], abs=1e-3)
    band = [tuple(map(float, corner.split())) for corner in curve.band[1:-1].split("L")]
    assert len(band) == 6
    upper, lower = band[:3], band[:2:-1]
    assert all(a[1] <= y <= b[1] for a, (_, y), b in zip(upper, numbers, lower, strict=True))
    assert [text for _, text in curve.x_ticks] == ["1\u00a0%", "3\u00a0%", "10\u00a0%"]
    kinds = [d.kind for d in curve.dots]
    assert kinds == ["stated", "genuine", "genuine", "attack", "attack"]  # controls are in the table alone
    assert numbers[0][0] < curve.dots[3].x < curve.dots[4].x < numbers[1][0]  # side by side, right of their rate
    luck = [tuple(map(float, corner.split())) for corner in curve.luck[1:].split("L")]
    assert all(a[1] >= b[1] for a, b in itertools.pairwise(luck))
    assert roc(found(row("gmi", 0.4).model_copy(update={"figures": row("gmi", 0.4).figures[:4]}))) is None


def test_the_page_shows_it_and_cells_do_not_repeat_it(rendered: str) -> None:
    section = re.search(r'<section id="verification".*?</section>', rendered, re.S)
    assert section
    assert "<desc" in section[0]
    assert section[0].count('class="mark attack"') == 6  # three attacks on none at two rates
    cells = rendered[rendered.index('<section id="cells"') : rendered.index('<section id="protocol"')]
    assert "verified at FAR 1 %" in cells
    assert "genuine accepted" not in cells
    assert not is_system(share(at(VERIFIED, 0.01), [0.5]))
