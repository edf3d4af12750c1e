"""Queries, gradients and seconds of a cell, and people at the ends of a share."""

from __future__ import annotations

import math
import re

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.words.names import Access
from unveil.leaderboard import page
from unveil.leaderboard.spending import seconds, spent
from unveil.leaderboard.strips import parts, spread

ROW = Row(
    data="d", model="m", defense="none", attack="lomma", seed=0, status="done",
    budget={"attack queries": 100, "attack queries allowed": 5000, "attack gradients": 80, "prior queries": 20},
    keys={"data": "k0", "target": "k1", "prior": "k2", "student 0": "k3", "student 1": "k4", "attack": "k5"},
)  # fmt: skip
STEPS = ("data", "target", "prior", "student", "student", "attack")
MADE = {f"k{i}": {"seconds": 10.0**i, "kind": kind} for i, kind in enumerate(STEPS)}


def test_a_limit_is_nothing_that_was_spent() -> None:
    assert spent(ROW, "queries") == {"attack queries": 100, "prior queries": 20}
    assert spent(ROW, "gradients") == {"attack gradients": 80}


def test_seconds_are_those_of_the_attack_and_what_it_made() -> None:
    assert seconds(ROW, MADE) == {"attack": 1e5, "prior": 100.0, "students": 11_000.0}
    assert list(seconds(ROW, MADE)) == ["attack", "prior", "students"]
    wraps = ROW.model_copy(update={"keys": {"base": "k0", "base prior": "k2", "prior": "k2", "attack": "k5"}})
    assert seconds(wraps, {**MADE, "k0": {"seconds": 5.0, "kind": "attack"}}) == {"attack": 100_005.0, "prior": 100.0}
    odd = {"k5": {"seconds": "a while"}, "k2": {"seconds": math.nan}, "k3": {}}
    assert seconds(ROW, odd) == {}


def test_the_page_shows_both() -> None:
    text = page.render(Results(title="t", plan="", rows=(ROW,), provenance=MADE))
    rows = text[text.index('id="rows"') : text.index('id="cells"')]
    assert re.search(r'data-v="120" title="attack queries 100; prior queries 20">120<', rows)
    assert 'title="attack 100,000; prior 100; students 11,000">111,100<' in rows
    cells = text[text.index('id="cells"') : text.index('id="protocol"')]
    assert "<dt>students seconds</dt><dd>11,000</dd>" in cells


def figure(people: list[float], unit: str = "share") -> Figure:
    each = {str(i): v for i, v in enumerate(people)}
    return Figure(
        metric="m", column="c", unit=unit, direction="higher leaks more", range=(0, 1), value=0.5, per_identity=each
    )  # fmt: skip


def test_people_with_none_some_and_all_of_their_pictures() -> None:
    found = parts(figure([0.0, 0.0, 0.2, 1.0, 0.6, 0.0, 0.4, 1.0]))
    assert found
    assert (found.none, found.some, found.all, found.marks) == (3, 3, 2, (25.0, 62.5))
    assert spread(figure([0.0, 0.5, 1.0, 1.0])).endswith("100 % for 2, 0 % for 1 of 4 people")
    assert parts(figure([0.0, 1.0], "distance")) is None
    assert parts(figure([])) is None


def test_a_page_says_when_its_rows_were_computed_with_different_numbers_of_threads() -> None:
    def shown(*threads: int, device: str = "cpu") -> str:
        made = {f"k{i}": {"kind": STEPS[i], "threads": n, "device": device} for i, n in enumerate(threads)}
        return page.render(Results(title="t", plan="", rows=(ROW,), provenance=made))

    assert "Not computed alike: 3 steps with 1 thread and 1 step with 2 threads." in shown(8, 1, 1, 1, 2)
    assert "Not computed alike" not in shown(8, 2, 2, 2)  # the first is data, which is only read
    assert "Not computed alike" not in shown(8, 1, 2, device="cuda")


def test_a_page_says_when_its_rows_were_computed_in_different_precisions() -> None:
    keys = {"a": "k0", "b": "k1", "c": "k2", "blind": "k3"}
    rows = tuple(
        ROW.model_copy(
            update={
                "attack": name,
                "access": Access.LABELS if name == "blind" else Access.WHITE_BOX,
                "keys": {"target": "t", "attack": key},
            }
        )
        for name, key in keys.items()
    )

    def shown(*precisions: str) -> str:
        told = {f"k{i}": {"kind": "attack", "precision": one} for i, one in enumerate((*precisions, "full"))}
        made = {**told, "t": {"kind": "target", "precision": "full"}}
        return page.render(Results(title="t", plan="", rows=rows, provenance=made))

    told = "Not computed with one precision"
    assert f"{told}: 2 attacks in bfloat16 and 1 attack in float32." in shown("mixed", "full", "mixed")
    assert told not in shown("mixed", "mixed", "mixed")  # what asks for labels is computed in float32 always
