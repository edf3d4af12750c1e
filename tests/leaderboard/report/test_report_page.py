"""The report as HTML: nobody is shown or named who must not be, and nothing in it is trusted."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unveil.harness.words.names import Access
from unveil.leaderboard.report.page import css_text, render
from unveil.leaderboard.report.portraits import BLURRED, blurred
from unveil.leaderboard.report.summary import summary

Make = Callable[..., Any]
HALF, NOBODY = [5] * 10 + [0] * 10, [0] * 20
ATTACKS = {"gmi": (Access.WHITE_BOX, HALF), "mirror": (Access.SCORES, HALF), "brep": (Access.LABELS, NOBODY)}
SECTIONS = ["attackers", "people", "sure", "controls", "defenses", "untried", "next", "model"]


@pytest.fixture
def made(case: Make) -> Any:
    return case(ATTACKS, {"luck": NOBODY, "real": [5] * 20})


def images(page: str) -> Iterator[Image.Image]:
    for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page):
        yield Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_day_on_which_it_was_computed_is_said(made: Any) -> None:
    assert "model inversion · 2026-01-31</p>" in render(made.results(), made.audit())


def test_of_real_people_only_a_few_averages_get_into_the_file(made: Any) -> None:
    results = made.results()
    page = render(results, made.audit())
    shown = list(images(page))
    assert len(shown) == 3 * 4 * 5  # kinds, people, two real pictures and three reconstructions
    assert {one.size for one in shown} == {(BLURRED, BLURRED)}
    originals = {tuple(p) for grid in results.pictures for p in np.asarray(decode(grid.png)).reshape(-1, 3).tolist()}
    left = [tuple(p) for one in shown for p in np.asarray(one.convert("RGB")).reshape(-1, 3).tolist()]
    assert sum(p in originals for p in left) < 0.02 * len(left)  # noise has no pixel near its average
    assert not any(one.info for one in shown)
    assert "6 × 6 averaged dots" in page
    assert 'role="alert"' not in page


def decode(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")


def test_two_pictures_with_the_same_averages_are_the_same_when_blurred() -> None:
    # So nothing but the averages is left, and nobody can tell which of them it was.
    board = np.indices((36, 36)).sum(0) % 2 * 255
    one, other = (Image.fromarray(b.astype(np.uint8)).convert("RGB") for b in (board, 255 - board))
    assert one.tobytes() != other.tobytes()
    assert blurred(one).tobytes() == blurred(other).tobytes()


def test_asked_for_pictures_are_sharp_and_the_report_warns(made: Any) -> None:
    page = render(made.results(), made.audit(), private_pictures=True)
    assert {one.size for one in images(page)} == {(32, 32)}
    assert 'role="alert"' in page
    assert "Zaphod Beeblebrox" in page


def test_publishable_people_are_named_and_shown_without_a_warning(case: Make) -> None:
    made = case(ATTACKS, {"luck": NOBODY}, publishable=True)
    page = render(made.results(), made.audit())
    assert {one.size for one in images(page)} == {(32, 32)}
    assert "Trillian" in page
    assert 'role="alert"' not in page


def test_nobody_private_is_named_anywhere(case: Make) -> None:
    made = case(
        ATTACKS,
        {"luck": NOBODY},
        failed={"ppa": (Access.WHITE_BOX, "DataError: cannot read /faces/Zaphod Beeblebrox/1.png")},
        facts={
            "notes": ("trillian has no picture", "Villager 7 has one"),
            "file": "/home/Trillian/door.pt",
            "not_tried": (("lomma", "no weights of TRILLIAN"),),
        },
    )
    results, facts = made.results(), made.audit()
    for text in (render(results, facts), str(summary(results, facts))):
        assert not re.search("zaphod|beeblebrox|trillian|villager", text, re.IGNORECASE)
        assert "/faces/person 0/1.png" in text
    assert "Trillian" in str(summary(results, facts, private_pictures=True))


def test_hostile_names_stay_text(case: Make) -> None:
    evil = "</style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\\"
    made = case(
        {evil: (Access.WHITE_BOX, HALF)}, {"luck": NOBODY}, publishable=True,
        failed={f"{evil}2": (Access.SCORES, evil)},
        facts={"model": evil, "file": evil, "normalisation": evil, "notes": (evil,), "not_tried": ((evil, evil),),
               "tried": ((evil, evil),), "checksum": evil, "defenses": (evil,)},
    )  # fmt: skip
    results = made.results()
    people = {name: counts for name, counts in zip([evil, *made.names[1:]], [(5, 2, 2)] * 20, strict=True)}
    account = results.accounts["staff"].model_copy(update={"people": people})
    page = render(results.model_copy(update={"accounts": {"staff": account}}), made.audit())
    assert "<script" not in page
    assert "onerror=" not in re.sub(r"&lt;.*?&gt;", "", page)
    assert page.count("</style>") == 1
    assert page.count("<img") == len(list(images(page)))


def test_it_asks_for_nothing_and_its_policy_fits_its_style(made: Any) -> None:
    page = render(made.results(), made.audit())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert policy
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert not re.search(r"url\(|@import| style=|<script|https?:", page)


def test_the_finding_comes_first_and_every_section_is_there(made: Any) -> None:
    page = render(made.results(), made.audit())
    assert re.findall(r'<section id="(\w+)"', page) == SECTIONS
    assert re.findall(r'<a href="#(\w+)">', page) == SECTIONS
    text = page[page.index("<h1>") : page.index("<nav")]
    assert re.search(r'<p class="lead">An attacker who', text)


def test_paper_has_a_running_title_page_numbers_and_breaks(case: Make) -> None:
    made = case(ATTACKS, {"luck": NOBODY}, facts={"model": 'A "door"'})
    page = render(made.results(), made.audit())
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style
    assert 'content: "Privacy audit of A \\22 door\\22 ";' in style[1]
    for rule in ("size: A4", "counter(page)", "break-inside: avoid", "@media print", "prefers-color-scheme: dark"):
        assert rule in style[1]
    assert css_text("\ud800\n</style>") == "\\3c \\2f style\\3e "


@pytest.mark.parametrize("broken", ["", "no picture", base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()])
def test_pictures_that_cannot_be_read_are_left_out(made: Any, broken: str) -> None:
    results = made.results()
    grids = tuple(p.model_copy(update={"png": broken}) for p in results.pictures)
    page = render(results.model_copy(update={"pictures": grids}), made.audit())
    assert not list(images(page))
    assert "No pictures of this attack were recorded." in page


def test_a_grid_of_another_layout_is_blurred_as_a_whole(made: Any) -> None:
    results = made.results()
    odd = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 101, 3)).astype(np.uint8)).save(odd, "PNG")
    update = {"png": base64.b64encode(odd.getvalue()).decode()}
    page = render(
        results.model_copy(update={"pictures": (results.pictures[0].model_copy(update=update),)}), made.audit()
    )
    assert [one.size for one in images(page)] == [(BLURRED, BLURRED)] * 4


@pytest.mark.parametrize(
    "more",
    [
        {"attacks": {}},
        {"attacks": ATTACKS, "knows": 0.4},
        {"attacks": {"gmi": (Access.WHITE_BOX, [5])}, "controls": {"luck": [0]}},
        {"attacks": {"brep": (Access.LABELS, HALF)}, "facts": {"access": "labels", "budget": None}},
        {"attacks": ATTACKS, "pictured": False, "failed": {"ppa": (Access.WHITE_BOX, "it\nfailed")}},
        {"attacks": {"gmi": (Access.WHITE_BOX, [5, 0] * 300)}, "controls": {"luck": [0] * 600}},
    ],
)
def test_whatever_came_out_there_is_a_report(case: Make, more: dict[str, Any]) -> None:
    made = case(**more)
    page = render(made.results(), made.audit())
    assert re.findall(r'<section id="(\w+)"', page) == SECTIONS
    assert "None" not in re.sub(r"<style>.*?</style>|None of", "", page, flags=re.S)
    assert "nan" not in re.sub(r"[A-Za-z]nan|nan[a-z]|base64,[^\"]*", "", page)
