"""The page in a real browser; skipped where there is none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from types import ModuleType

from unveil.harness.figures.rows import Results, Row
from unveil.leaderboard import page

Ask = Callable[[str, str], str]
Browse = Callable[[str], tuple[str, list[str]]]


def test_scripts_run_under_the_policy_and_the_console_stays_silent(
    rendered: str, browse: Callable[[str], tuple[str, list[str]]]
) -> None:
    dom, console = browse(rendered)
    assert console == []
    assert '<html lang="en" class="js">' in dom
    assert "32 of 32 rows" in dom
    assert (
        dom.count('aria-sort="none"')
        == dom.count("<th", dom.index('id="table"'), dom.index("<tbody", dom.index('id="table"'))) - 1
    )


def test_sorting_puts_numbers_in_order_and_what_has_none_last(rendered: str, ask: Ask) -> None:
    script = """
      const head = document.querySelectorAll('#table thead th')[5];
      const read = () => [...document.getElementById('table').tBodies].map((b) => b.rows[0].cells[5].dataset.v);
      const out = [];
      for (const _ of [1, 2]) {
        head.querySelector('button').click();
        out.push([head.getAttribute('aria-sort'), read()]);
      }
      document.title = JSON.stringify(out);"""
    (up, rising), (down, falling) = json.loads(ask(rendered, script))
    assert (up, down) == ("ascending", "descending")
    assert rising[-3:] == falling[-3:] == ["", "", ""]
    assert [float(v) for v in rising[:-3]] == sorted(float(v) for v in rising[:-3])
    assert [float(v) for v in falling[:-3]] == sorted((float(v) for v in rising[:-3]), reverse=True)


def test_filters_matrix_choice_and_links(rendered: str, ask: Ask) -> None:
    script = """
      const fire = (node, value, kind) => { node.value = value; node.dispatchEvent(new Event(kind, {bubbles: true})); };
      const count = () => document.getElementById('filter-count').textContent;
      const out = [];
      fire(document.querySelector('[data-filter=attack]'), 'gmi', 'input'); out.push(count());
      fire(document.getElementById('filter-text'), 'BIDO tl', 'input'); out.push(count());
      fire(document.querySelector('[data-pick]'), '2', 'change');
      out.push([...document.querySelectorAll('.matrix')].map((m) => getComputedStyle(m).display !== 'none'));
      const link = document.querySelector('.heat td a');
      location.hash = link.getAttribute('href'); openTarget();
      out.push(document.querySelector(link.getAttribute('href')).open);
      document.title = JSON.stringify(out);"""
    by_attack, by_text, shown, opened = json.loads(ask(rendered, script))
    assert (by_attack, by_text, opened) == ("8 of 32 rows", "2 of 32 rows", True)
    assert shown == [i == 2 for i in range(len(shown))]


def test_csv_holds_every_figure_and_no_formula(sample: ModuleType, ask: Ask) -> None:
    good = sample.row("none", "gmi", 0)
    evil = Row(
        data="d",
        model="m",
        defense='=HYPERLINK("x")',
        attack="+1",
        seed=0,
        status="failed",
        error='@a,\n"b"',
        notes=("-2", "\t=1"),
    )
    made = {good.keys["attack"]: {"seconds": 12.5}, good.keys["prior"]: {}}
    text = page.render(Results(title="t", plan="", rows=(good, evil), provenance=made))
    answer = ask(text, "document.title = JSON.stringify(csv(JSON.parse(document.getElementById('data').textContent)))")
    lines = list(csv.DictReader(io.StringIO(json.loads(answer))))
    assert len(lines) == len(good.figures) + 1
    assert [(line["metric"], line["column"]) for line in lines[:-1]] == [(f.metric, f.column) for f in good.figures]
    assert {line["access"] for line in lines} == {"white-box", ""}
    assert float(lines[0]["value"]) == good.figures[0].value
    assert {line["attack seconds"] for line in lines[:-1]} == {"12.5"}
    assert "prior seconds" not in lines[0]
    bad = lines[-1]
    assert (bad["defense"], bad["attack"], bad["error"], bad["notes"]) == (
        "'=HYPERLINK(\"x\")", "'+1", "'@a,\n\"b\"", "'-2; \t=1",
    )  # fmt: skip


def test_no_sideways_scrolling(rendered: str, browse: Browse) -> None:
    # A headless window cannot be made as narrow as a phone, a frame can.
    inner = rendered.replace('"Content-Security-Policy"', '"x-policy"').replace("&", "&amp;").replace('"', "&quot;")
    # Before the frames, or one of them may have loaded before anybody listens; load events do not bubble.
    script = """
      document.addEventListener('load', ({target: frame}) => {
        if (!(frame instanceof HTMLIFrameElement)) return;
        const root = frame.contentDocument.documentElement;
        for (const node of frame.contentDocument.querySelectorAll('details')) node.open = true;
        document.title += ` ${root.clientWidth}:${root.scrollWidth}`;
      }, true);"""
    frames = "".join(
        f'<iframe width="{width}" height="800" srcdoc="{inner}"></iframe>' for width in (360, 390, 1280, 1920)
    )
    dom, _ = browse(f"<!doctype html><title></title><script>{script}</script>{frames}")
    measured = [part.split(":") for part in dom.split("<title>")[1].split("</title>")[0].split()]
    assert len(measured) == 4
    assert all(int(scroll) <= int(client) <= 1920 for client, scroll in measured)


def test_no_far_column_makes_a_row_high_and_no_table_of_judges_is_cut(sample: ModuleType, ask: Ask) -> None:
    talkative = sample.row("none", "gmi", 0)
    more = {f"fact {i}": "a long text about how it was trained and by whom" for i in range(12)}
    talkative = talkative.model_copy(update={"facts": more, "notes": ("departed from its paper " * 20,)})
    broken = sample.row("bido", "kedmi", 1)
    results = Results(title="t", plan="", rows=(talkative, broken), judges=sample.judges())
    script = """
      document.querySelectorAll('details.fold').forEach((fold) => { fold.open = true; });
      const box = document.querySelector('table.judges').parentElement;
      const table = document.getElementById('table'), all = table.parentElement;
      all.scrollLeft = 500;
      const seen = [...table.tBodies[0].rows[0].cells].slice(0, 2).map((cell) => cell.getBoundingClientRect().left);
      const edge = all.getBoundingClientRect().left;
      document.title = JSON.stringify([
        [...table.tBodies].map((body) => body.rows[0].getBoundingClientRect().height),
        box.scrollWidth - box.clientWidth, all.scrollLeft, seen.map((left) => left - edge)]);"""
    heights, cut, scrolled, sticky = json.loads(ask(page.render(results), script))
    assert max(heights) < 48  # one line, whatever a far column says
    assert cut == 0
    assert scrolled == 500
    assert 0 <= sticky[0] < 5 < sticky[1] < 250  # who it is about stays in sight


def test_the_pictures_stand_beside_the_headline(rendered: str, ask: Ask) -> None:
    script = """
      const box = (selector) => document.querySelector(selector).getBoundingClientRect();
      const [lead, strip, image] = ['.lead', '.evidence', '.evidence img'].map(box);
      document.title = JSON.stringify([lead.right <= strip.left, image.top < lead.bottom, image.width > 250]);"""
    assert json.loads(ask(rendered, script)) == [True, True, True]


def test_without_pictures_the_headline_keeps_the_width_and_comes_first(results: Results, ask: Ask) -> None:
    script = """
      const box = (selector) => document.querySelector(selector).getBoundingClientRect();
      const [title, lead, why, points] = ['h1', '.lead', '.evidence-none', '.points'].map(box);
      document.title = JSON.stringify([title.left === lead.left && lead.left === points.left,
        lead.bottom <= why.top && why.bottom <= points.top, lead.width > 0.75 * innerWidth]);"""
    bare = results.model_copy(update={"pictures": ()})
    assert json.loads(ask(page.render(bare), script)) == [True, True, True]


def test_links_open_the_folds_around_what_they_name(rendered: str, ask: Ask) -> None:
    script = """
      const fold = (id) => document.querySelector(`#${id} > details.fold`);
      const go = (hash) => { location.hash = hash; openTarget(); };
      const out = [['scale', 'rows', 'cells', 'protocol'].map((id) => fold(id).open)];
      go('#scale'); out.push(fold('scale').open);
      const cell = document.querySelector('.heat td a').getAttribute('href');
      go(cell); out.push(fold('cells').open && document.querySelector(cell).open);
      fold('cells').open = false;
      document.querySelector('.heat td a').click(); out.push(fold('cells').open);
      fold('rows').querySelector('summary').click(); out.push(fold('rows').open && location.hash === '#rows');
      document.querySelector('[data-of="details.fold"][data-open=true]').click();
      out.push(document.querySelectorAll('details.fold:not([open])').length);
      document.title = JSON.stringify(out);"""
    closed, *opened, left = json.loads(ask(rendered, script))
    assert closed == [False] * 4
    assert opened == [True] * 4
    assert left == 0
