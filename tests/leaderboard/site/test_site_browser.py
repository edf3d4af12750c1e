"""The site in a real browser, over its own server; skipped where there is no browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Results
from unveil.harness.words.names import Access
from unveil.leaderboard.site import folder
from unveil.leaderboard.site.build import build
from unveil.leaderboard.site.serving import server

KINDS = ["index.html", "defenses/mid.html", "attacks/gmi.html", "data/people.html", "matrices/first/index.html",
         "matrices/somebody-wrong/index.html", "matrices/first/rows.html", "matrices/first/cells.html",
         "matrices/first/tradeoff.html", "matrices.html", "defenses.html", "how-to-read.html", "cite.html"]  # fmt: skip
READ = """
  [...document.querySelectorAll('.rank-set')].filter((s) => !s.hidden).map((s) => [s.id,
    [...s.querySelectorAll('tbody tr')].filter((r) => !r.hidden).map((r) => r.cells[0].querySelector('a').textContent)])
"""
AXE = """
  axe.run(document, {resultTypes: ['violations'], preload: false}).then((r) => r.violations.map((v) =>
    [v.id, v.nodes.length, v.nodes[0].html.slice(0, 300), v.nodes[0].failureSummary]))
"""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with server(site, 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()
        thread.join()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """The index; whatever the console says on the way is an error."""
    browser.said.clear()
    browser.media()
    browser.size(1280)
    browser.open(f"{address}/index.html")
    yield browser
    assert browser.said == []


def choose(browser: Any, name: str, value: str) -> None:
    browser.run(f"""(() => {{ const one = document.querySelector('#site-filters [name={name}]');
      one.value = {json.dumps(value)}; one.dispatchEvent(new Event('input', {{bubbles: true}})); }})()""")


def test_filters_show_what_fits_and_write_it_into_the_address(opened: Any) -> None:
    everything = opened.run(READ)
    assert len(everything) == 3
    assert {name for _, names in everything for name in names} >= {"none", "mid", "mid beta=1", "bido"}
    choose(opened, "data", "people")
    choose(opened, "protocol", "0")
    ((slug, names),) = opened.run(READ)
    assert (slug, sorted(names)) == ("people-net-white-box", ["bido", "mid", "mid beta=1", "none"])
    choose(opened, "family", "mid")
    choose(opened, "attack", "kedmi")
    assert opened.run(READ) == [["people-net-white-box", ["mid beta=1", "mid"]]]
    assert opened.run("document.getElementById('site-count').textContent") == "1 of 3 rankings"
    assert opened.run("location.hash") == "#data=people&protocol=0&family=mid&attack=kedmi"
    choose(opened, "state", "refuted")
    assert opened.run(READ) == []
    assert opened.run("document.getElementById('none-left').checkVisibility()")
    opened.run("document.querySelector('#site-filters [type=reset]').click()")
    opened.run("new Promise((done) => setTimeout(done, 50))")
    assert opened.run(READ) == everything
    assert opened.run("location.hash") == ""


def test_sorting_puts_numbers_in_order_and_what_has_none_last(opened: Any) -> None:
    head = "document.querySelector('#people-net-white-box th[data-key=leakage]')"
    read = """[...document.querySelectorAll('#people-net-white-box tbody tr')].filter((r) => !r.hidden)
      .map((r) => r.cells[3].dataset.v)"""
    for how in ("ascending", "descending"):
        opened.run(f"{head}.querySelector('button').click()")
        assert opened.run(f"{head}.getAttribute('aria-sort')") == how
        values = [float(value) for value in opened.run(read)]
        assert values == sorted(values, reverse=how == "descending")
        assert len(values) == 4
    others = opened.run("[...document.querySelectorAll('#people-net-white-box th[aria-sort]')].map((h) => h.ariaSort)")
    assert sorted(others)[0] == "descending"
    assert set(others) == {"none", "descending"}
    choose(opened, "attack", "*")
    opened.run("document.querySelector('#people-net-white-box th[data-key=rank] button').click()")
    ranks = opened.run(
        "[...document.querySelectorAll('tbody tr')].filter((r) => !r.hidden).map((r) => r.cells[1].dataset.v)"
    )
    assert ranks[-1] == ""  # the refuted one's


def test_a_permalink_brings_filters_and_sorting_back(opened: Any, address: str) -> None:
    opened.open(f"{address}/index.html#data=people&attack=gmi&sort=utility&order=descending&threat=white-box")
    selected = opened.run("[...document.querySelectorAll('#site-filters select')].map((s) => [s.name, s.value])")
    assert dict(selected) == {"data": "people", "target": "", "threat": "white-box", "attack": "gmi", "family": "",
                              "protocol": "", "state": ""}  # fmt: skip
    assert [slug for slug, _ in opened.run(READ)] == ["people-net-white-box", "people-net-white-box-p1"]
    assert opened.run("document.querySelector('th[data-key=utility]').ariaSort") == "descending"
    opened.open(f"{address}/index.html#data=nobody-has-this&sort=nothing")
    assert len(opened.run(READ)) == 3
    opened.open(f"{address}/index.html#people-net-white-box-p1")
    assert len(opened.run(READ)) == 3
    opened.run("""new Promise((done) => { const look = () => {
      const box = document.getElementById('people-net-white-box-p1').getBoundingClientRect();
      box.top >= 0 && box.top < innerHeight ? done() : requestAnimationFrame(look); }; look(); })""")


def test_the_same_works_from_files_without_a_server(opened: Any, site: Path) -> None:
    opened.open(f"{(site / 'index.html').as_uri()}#family=bido&sort=leakage")
    assert opened.run(READ) == [["people-net-white-box", ["bido"]]]
    choose(opened, "family", "")
    assert opened.run("location.hash") == "#sort=leakage"


@pytest.mark.parametrize("page", ["index.html", "matrices/evil/index.html", "matrices/evil/cells.html", "cite.html"])
def test_hostile_names_stay_text(opened: Any, address: str, page: str) -> None:
    opened.open(f"{address}/{page}")
    assert opened.run("document.querySelectorAll('img[src=x], script:not([src])').length") == 0
    assert "<img src=x onerror=alert(1)>" in opened.run("document.body.textContent")


@pytest.mark.parametrize("page", KINDS)
def test_axe_finds_nothing(opened: Any, address: str, axe: str, page: str) -> None:
    """Light and dark, wide and narrow: names, roles, contrast, order, landmarks."""
    opened.open(f"{address}/{page}")
    opened.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    opened.run(f"{axe}; true")
    for scheme, width in (("light", 1280), ("dark", 390)):
        opened.media(scheme)
        opened.size(width)
        assert opened.run(AXE) == [], (scheme, width)


@pytest.mark.parametrize("page", KINDS)
def test_no_page_scrolls_sideways(opened: Any, address: str, page: str) -> None:
    opened.open(f"{address}/{page}")
    opened.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for width in (360, 390, 1280, 1920):
        opened.size(width)
        scroll, client = opened.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert scroll <= client, width


def test_everything_can_be_reached_with_the_keyboard(opened: Any) -> None:
    reached = []
    for _ in range(30):
        for kind in ("keyDown", "keyUp"):
            opened.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(opened.run("document.activeElement.className + document.activeElement.tagName"))
    assert reached[0] == "skipA"
    assert {"SELECT", "BUTTON"} <= set(reached)
    assert any(one.endswith("DIV") for one in reached)  # a table that scrolls sideways
    assert opened.run("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_print_has_everything_and_no_controls(opened: Any) -> None:
    opened.media(kind="print")
    shown = opened.run(
        """['.site', '#site-filters', '.skip'].map((one) => document.querySelector(one).checkVisibility())"""
    )
    assert shown == [False, False, False]
    assert opened.run("document.querySelector('.ranked').checkVisibility()")


@pytest.mark.slow
def test_axe_finds_nothing_on_any_page_of_a_full_matrix(
    browser: Any, axe: str, results: Results, tmp_path: Path
) -> None:
    """With Fisher information, verification, agreement, failures, several seeds and two threat models."""
    few = [row for row in results.rows if row.defense != "tl_dmi" and row.attack in ("gmi", "kedmi", "random_latents")]
    rows = [row for row in few if row.seed == 0 or row.defense == "bido"]
    more = [
        row.model_copy(update={"access": Access.LABELS, "attack": "labelled"}) for row in rows if row.attack == "gmi"
    ]
    both = results.model_copy(update={"rows": (*rows, *more)})
    folder.write(tmp_path, build([Exhibit("full", both)]))
    browser.said.clear()
    browser.media()
    browser.size(1280)
    pages = sorted(tmp_path.rglob("*.html"))
    found = {}
    assert len(pages) > 20
    for page in pages:
        browser.open(page.as_uri())
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.run(f"{axe}; true")
        if told := browser.run(AXE):
            found[page.name] = told
    assert found == {}
    assert browser.said == []
