"""The pictures beside the headline: which, how many people, and why there are none."""

from __future__ import annotations

import base64
import io
import re
from types import ModuleType

from PIL import Image

from unveil.harness.figures.rows import Results
from unveil.leaderboard import page
from unveil.leaderboard.board import board
from unveil.leaderboard.evidence import PEOPLE, evidence, excerpt
from unveil.leaderboard.figures import setups


def test_they_are_of_no_defense_and_of_the_best_one_under_the_most_telling_attack(
    sample: ModuleType, results: Results
) -> None:
    (setup,) = setups(results)
    found = board(setup, results.judges)
    assert [(e.picture.defense, e.picture.attack) for e in evidence(found, results.pictures)] == [
        ("none", "gmi"), ("tl_dmi", "gmi"),
    ]  # fmt: skip
    one = results.pictures[0]
    drawn = [one.model_copy(update={"attack": a, "defense": d}) for d in sample.DEFENSES for a in sample.ATTACKS]
    assert [(e.picture.defense, e.picture.attack) for e in evidence(found, drawn)] == [
        ("none", "kedmi"), ("tl_dmi+bido", "kedmi"),
    ]  # fmt: skip


def test_an_excerpt_is_the_first_people_of_its_grid(results: Results) -> None:
    grid = results.pictures[0]
    part = excerpt(grid)
    assert part
    whole = Image.open(io.BytesIO(base64.b64decode(grid.png)))
    kept = Image.open(io.BytesIO(base64.b64decode(part.png)))
    assert part.people == PEOPLE
    assert kept.size == part.size == (whole.width, whole.height * PEOPLE // len(grid.people))
    assert kept.tobytes() == whole.crop((0, 0, *kept.size)).tobytes()


def test_what_is_no_picture_or_a_monstrous_one_is_left_out(results: Results) -> None:
    grid = results.pictures[0]
    png = base64.b64decode(grid.png)
    endless = png[:16] + b"\x00\x0f\xff\xff" * 2 + png[24:]
    for broken in (b"no picture", png[: len(png) // 2], endless):
        assert excerpt(grid.model_copy(update={"png": base64.b64encode(broken).decode()})) is None


def test_a_page_without_pictures_says_why(results: Results) -> None:
    def beside(made: Results) -> str:
        found = re.search(r'<p class="hint evidence-none">(.*?)</p>', page.render(made), re.S)
        return found[1] if found else ""

    private = tuple(p.model_copy(update={"publishable": False}) for p in results.pictures)
    assert beside(results) == ""
    assert "does not allow" in beside(results.model_copy(update={"pictures": private}))
    assert "none were recorded" in beside(results.model_copy(update={"pictures": ()}))
