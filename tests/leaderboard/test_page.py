from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unveil.harness.figures.rows import Figure, Judge, Picture, PluginUsed, Results, Row
from unveil.harness.words.names import CONFIRMED, GENUINE, LAYER_SHARE, VERIFIED, Opinion, Strength
from unveil.leaderboard import page

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><b>",
    "</title>",
    "{{ 7777 * 7 }}",
    "' onclick='x",
)
VOID = {"meta", "link", "img", "input", "br", "wbr"}


class Outline(HTMLParser):
    """Tags with attributes; fails on tags that do not close as they opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_says_whose_code_made_the_numbers() -> None:
    """Also where one matrix was computed with two versions of a plugin."""
    used = PluginUsed(kind="attacks", name="mine.py:Mine", origins=("file mine.py, sha256 0a1b2c", "mine 1.2"))
    shown = page.render(Results(title="t", plan="", plugins=(used,)))
    assert re.search(r"mine\.py:Mine</th><td>attacks</td><td>file mine\.py, sha256 0a1b2c; mine 1\.2</td>", shown)


def hostile(text: str) -> Results:
    """The same text wherever a plugin, a plan or a data set may put one."""
    shared: dict[str, Any] = {"unit": text, "direction": "higher leaks more", "range": (0, math.inf)}
    scored = Figure(
        metric=text, column=text, judge=text, value=0.5, low=0.4, high=0.6, per_identity={text: 0.5}, **shared
    )
    reason = Figure(metric=text + "2", column=text, reason=text, **shared)
    useful = Figure(metric="u", column=text, unit=text, direction="higher is more useful", range=(0, 1), value=0.5)
    names = {"data": text, "model": text, "defense": text, "seed": 0}
    shares = {"unit": "share", "direction": "neither better nor worse", "range": (0, 1), "value": 0.5}
    who = Opinion(judge=text, answer=text)
    panel = Figure(metric="panel", quantity=CONFIRMED, confirmed=who, confirmed_by=who, **shares)
    system = [
        Figure(metric=text, quantity=what, rate=far, judge=text, low=0.4, high=0.6, **shares)
        for what in (VERIFIED, GENUINE)
        for far in (0.01, 0.1)
    ]
    layer = Figure(metric=text, quantity=LAYER_SHARE, task=text, layer=text, **shares)
    some = (scored, reason, useful, panel, *system, layer)
    rows = (
        Row(**names, attack=text, status="done", figures=some, budget={text: 1}, facts={text: text},
            notes=(text,), keys={text: text}, strength=Strength(setting=text, value=text)),
        Row(**names, attack=text + "2", status="failed", error=text),
        Row(**names, attack="random_latents", role="floor", status="done", figures=(scored, useful)),
    )  # fmt: skip
    return Results(
        title=text, plan=text, datasets={text: {text: text}}, rows=rows,
        provenance={text: {text: {text: text}}, "k": {}},
        plugins=(PluginUsed(kind=text, name=text, origins=(text,)),),
        judges=(Judge(data=text, name=text, model=text, knows=text, status="failed", error=text),),
        pictures=(Picture(**names, attack=text, png=text, caption=text, people=(text,), publishable=True),),
    )  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_nothing_that_results_say_becomes_markup(text: str) -> None:
    calm, evil = page.render(hostile("calm")), page.render(hostile(text))
    wanted, found = Outline(calm), Outline(evil)
    count = [t for t, _ in found.tags if t != "wbr"]
    assert count == [t for t, _ in wanted.tags if t != "wbr"]
    assert {k for _, a in found.tags for k in a} == {k for _, a in wanted.tags for k in a}
    assert "54439" not in evil  # what a template inside the text would come to


def test_the_sample_is_well_formed_and_accessible(rendered: str) -> None:
    tags = Outline(rendered).tags
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for t, a in tags if t == "a" and (a["href"] or "").startswith("#")}
    assert targets <= set(ids)
    assert all(a.get("scope") for t, a in tags if t == "th")
    assert all(a.get("alt") for t, a in tags if t == "img")
    assert {"header", "nav", "main", "footer", "caption"} <= {t for t, _ in tags}
    labelled = [a["aria-labelledby"] for t, a in tags if t == "section"]
    assert set(labelled) <= set(ids)
    assert not any(k == "style" or k.startswith("on") for _, a in tags for k in a)


def test_no_request_leaves_the_page(rendered: str) -> None:
    for _, attributes in Outline(rendered).tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(
        r"@import|url\(|https?://", re.sub(r'<script type="application/json".*?</script>', "", rendered, flags=re.S)
    )


def test_the_policy_names_exactly_the_style_and_script_in_the_page(rendered: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', rendered)
    assert policy
    said = policy[1].replace("&#39;", "'").replace("&#34;", '"')
    assert "default-src 'none'" in said
    assert "unsafe" not in said
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", rendered, re.S)
        assert body
        assert f"{kind} 'sha256-{base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode()}'" in said


def embedded(text: str) -> str:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    return found[1]


def test_embedded_rows_read_back_as_they_were(results: Results, rendered: str) -> None:
    def strict(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    text = embedded(rendered)
    json.loads(text, parse_constant=strict)
    assert Results.model_validate_json(text) == results.model_copy(update={"pictures": ()})
    assert not set("<>&") & set(text)


def test_pictures_of_real_people_stay_out_unless_asked_for(results: Results, rendered: str) -> None:
    assert rendered.count("data:image/png") == 3 + 2  # two of them stand beside the headline too
    assert "1 grid not shown" in rendered
    assert "Real Name" not in rendered
    assert 'role="alert"' not in rendered
    private = page.render(results, private_pictures=True)
    assert private.count("data:image/png") == 4 + 2  # nothing else was measured of the other data set
    assert "This page contains pictures of real people: do not publish it." in private
    assert "Real Name 0" in private


def test_judges_are_told_with_their_own_accuracy_and_calibration(rendered: str) -> None:
    judges = rendered[rendered.index('<section id="judges"') : rendered.index('<section id="agreement"')]
    assert judges.count("<small>closed-set top-1</small>") == judges.count("<small>1 - calibration error</small>") == 2
    assert judges.count("<strong>No:</strong>") == 2  # ceiling and floor of one judge; its calibration is no ceiling


def test_failed_cells_show_their_error(rendered: str) -> None:
    assert rendered.count("the loss became NaN in epoch 7 of 30") > 3
    assert "1 of 2 seeds" in rendered
    assert "fewer than 2,048 pictures: 200" in rendered


def test_empty_and_odd_results_still_make_a_page(sample: ModuleType) -> None:
    assert "nothing was run" in page.render(Results(title="Empty", plan=""))
    bare = Row(data="d", model="m", defense="none", attack="gmi", seed=0, status="done")
    assert "Nothing was scored" in page.render(Results(title="Bare", plan="", rows=(bare,)))
    target = Figure(
        metric="utility", column="acc", unit="share", direction="higher is more useful", range=(0, 1), value=math.nan
    )
    nan = bare.model_copy(update={"figures": (target,), "seed": 1})
    Outline(page.render(Results(title="NaN", plan="", rows=(nan,))))
    alone = sample.row("none", "gmi", 0)
    Outline(page.render(Results(title="One", plan="", rows=(alone, alone.model_copy(update={"data": "orl"})))))


def test_same_results_same_page(results: Results, rendered: str) -> None:
    assert page.render(results) == rendered


def luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def contrast(a: str, b: str) -> float:
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_text_stands_out_in_light_and_dark(mode: int) -> None:
    css = (Path(page.__file__).parent / "templates" / "style.css").read_text()
    block = re.findall(r":root \{(.*?)\}", css, re.S)[mode]
    colour = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    for text in ("ink", "muted", "accent", "bad", "good", *(f"c{i}" for i in range(8))):
        assert contrast(colour[text], colour["card"]) >= 4.5, text
        assert contrast(colour[text], colour["bg"]) >= 4.5, text
    assert contrast(colour["muted"], colour["shade"]) >= 4.5
    assert contrast(colour["bad"], colour["bad-bg"]) >= 4.5
    heat = [int(v) / 255 for v in re.findall(r"--heat: (\d+) (\d+) (\d+)", block)[0]]
    deepest = [0.66 * h + 0.34 * c for h, c in zip(heat, rgb(colour["card"]), strict=True)]
    assert contrast(colour["ink"], "#" + "".join(f"{round(255 * v):02x}" for v in deepest)) >= 4.5
