"""The files of a site: what is in them, and what is not."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import Any

import pytest

from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Results
from unveil.leaderboard.site import records, subjects
from unveil.leaderboard.site.build import build, index
from unveil.leaderboard.site.press import Press
from unveil.leaderboard.site.ranking import named, rank_sets

Make = Callable[..., Results]
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none';"
HOSTILE = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a page links to, what can be linked to on it, and what would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.wrong: list[str] = []
        self.lazy: list[bool] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := told.get(name))]
        self.ids += [value for name in ("id",) if (value := told.get(name))]
        self.wrong += [f"{tag} {name}" for name in told if name == "style" or name.startswith("on")]
        self.wrong += [tag] if tag in {"style", "base", "iframe", "object"} else []
        self.wrong += [tag] if tag == "script" and not told.get("src") else []
        if tag == "img":
            self.lazy.append(told.get("loading") == "lazy" and bool(told.get("alt")) and "width" in told)


@pytest.fixture(scope="module")
def pages(files: dict[str, bytes]) -> dict[str, Page]:
    return {path: Page(data.decode()) for path, data in files.items() if path.endswith(".html")}


def test_every_link_leads_to_a_file_and_a_place_in_it(files: dict[str, bytes], pages: dict[str, Page]) -> None:
    for path, page in pages.items():
        for link in page.links:
            if link == "data:,":
                continue
            target, _, place = link.partition("#")
            assert ":" not in target, (path, link)
            found = path if not target else _joined(path, target)
            assert found in files, (path, link)
            if place:
                assert place in pages[found].ids, (path, link)


def _joined(path: str, target: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / target).parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_nothing_stands_in_a_page_that_its_policy_forbids(files: dict[str, bytes], pages: dict[str, Page]) -> None:
    for path, page in pages.items():
        assert not page.wrong, path
        assert len(set(page.ids)) == len(page.ids), path
        assert POLICY in html.unescape(files[path].decode())
        assert not re.search(rb"https?://", files[path]), path


def test_there_is_a_page_for_everything(files: dict[str, bytes]) -> None:
    wanted = {"index", "defenses/none", "defenses/mid", "attacks/gmi", "attacks/random_latents", "data/people"}
    wanted |= {"matrices/first/index", "matrices/first/cells", "matrices/first/pictures", "how-to-read", "cite"}
    assert {f"{name}.html" for name in wanted} <= files.keys()
    defense = files["defenses/mid.html"].decode()
    for words in (
        "Attack by attack",
        "Privacy over utility",
        "Who is worst off",
        "Settings and provenance",
        "mid beta=1",
    ):
        assert words in defense


def test_pictures_are_lazy_files_with_words_for_them(files: dict[str, bytes], pages: dict[str, Page]) -> None:
    assert all(all(page.lazy) for path, page in pages.items() if not path.startswith("matrices/"))
    assert sum(len(page.lazy) for page in pages.values()) > 5
    assert any(path.startswith("pictures/") and data[:4] == b"\x89PNG" for path, data in files.items())


def test_real_people_are_left_out_unless_asked_for(exhibits: list[Exhibit], files: dict[str, bytes]) -> None:
    everything = b"".join(data for path, data in files.items() if not path.startswith("pictures/"))
    assert b"Real Name" not in everything
    assert b"grid of real people is left out" in files["attacks/gmi.html"]
    blurred = build(exhibits[:1], people="blurred")
    assert b"Real Name" not in b"".join(blurred.values())
    assert b"Real people, blurred" in blurred["attacks/gmi.html"]
    assert b"do not publish" not in b"".join(blurred.values())
    shown = build(exhibits[:1], people="shown")
    assert b"This site contains pictures of real people: do not publish it." in shown["attacks/gmi.html"]
    assert b"Real Name" not in b"".join(shown[path] for path in shown if path.endswith(".json"))


def test_the_same_matrices_give_the_same_bytes(exhibits: list[Exhibit]) -> None:
    assert build(exhibits[1:2]) == build(exhibits[1:2])


def test_what_the_index_shows_is_what_its_json_and_csv_say(files: dict[str, bytes]) -> None:
    told = records.SiteRecord.model_validate_json(files["site.json"])
    lines = list(csv.DictReader(io.StringIO(files["rankings.csv"].decode("utf-8-sig"))))
    rows = [row for one in told.rank_sets for row in one.rows]
    assert [(line["defense"], line["leakage"]) for line in lines if not line["defense"].startswith("'")] == [
        (row.defense, str(row.leakage.value)) for row in rows if row.leakage and not row.defense.startswith("'")
    ]
    first = told.rank_sets[0]
    assert first.judges == ("first", "second")
    assert first.first_judge == "first"
    assert first.rows[0].matrices
    (refuted,) = (one for one in told.rank_sets if one.refuted)
    assert all(row.ranks is None and row.against_none is None for row in refuted.rows)
    assert refuted.protocol == 1
    schema = json.loads(files["site.schema.json"])
    _check(json.loads(files["site.json"]), schema, schema)


def test_the_results_of_each_matrix_are_whole(exhibits: list[Exhibit], files: dict[str, bytes]) -> None:
    told = Results.model_validate_json(files["matrices/first/results.json"])
    assert told.rows == exhibits[0].results.rows
    assert not told.pictures
    lines = list(csv.DictReader(io.StringIO(files["matrices/first/figures.csv"].decode("utf-8-sig"))))
    assert len(lines) == sum(len(row.figures) for row in told.rows)
    schema = json.loads(files["results.schema.json"])
    _check(json.loads(files["matrices/first/results.json"]), schema, schema)


def _check(value: Any, schema: Any, whole: Any) -> None:
    """As much of JSON schema as these schemas use."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        assert any(_fits(value, one, whole) for one in schema["anyOf"]), (value, schema)
        return
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None),
             "boolean": bool}  # fmt: skip
    if "type" in schema:
        # what JSON has no number for is written as a text, as everywhere in results
        endless = schema["type"] == "number" and value in ("Infinity", "-Infinity", "NaN")
        assert endless or isinstance(value, kinds[schema["type"]]), (value, schema)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys(), schema
        for name, one in value.items():
            assert name in known or schema.get("additionalProperties") is not False, name
            _check(one, known.get(name, schema.get("additionalProperties") or {}), whole)
    if isinstance(value, list):
        for one in value:
            _check(one, schema.get("items", {}), whole)


def _fits(value: Any, schema: Any, whole: Any) -> bool:
    try:
        _check(value, schema, whole)
    except AssertionError:
        return False
    return True


def test_no_spreadsheet_runs_what_a_name_says(make: Make) -> None:
    evil = make(defenses=("none", '=HYPERLINK("x")', " @a", "+1"))
    for path, data in build([Exhibit("evil", evil)]).items():
        if path.endswith(".csv"):
            cells = [cell for line in csv.reader(io.StringIO(data.decode("utf-8-sig"))) for cell in line]
            assert '\'=HYPERLINK("x")' in cells
            assert not [cell for cell in cells if cell.strip()[:1] in "=+@" and cell]


def test_hostile_names_stay_text(files: dict[str, bytes]) -> None:
    everything = b"".join(data for path, data in files.items() if path.endswith(".html"))
    assert b"&lt;img src=x onerror=alert(1)&gt;" in everything
    assert HOSTILE.encode() not in everything
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", path) and ".." not in path for path in files)


def test_the_index_of_a_large_site_stays_small(make: Make) -> None:
    attacks, defenses = tuple(f"attack_{i}" for i in range(10)), ("none", *(f"defense_{i}" for i in range(9)))
    one = make(attacks=attacks, defenses=defenses)
    (found,) = rank_sets(named([Exhibit("m", one)]))
    told = records.SiteRecord(title="", rank_sets=(records.rank_set(found),) * 8, matrices=())
    assert len(told.rank_sets[0].rows) == 10 * 11
    press = Press("", private=False)
    index(press, [found] * 8, told, private=False)
    assert 100_000 < len(press.files["index.html"]) < 1_000_000


def test_a_site_of_nothing_is_a_site(make: Make) -> None:
    empty = make().model_copy(update={"rows": (), "judges": ()})
    for exhibits in ([], [Exhibit("empty", empty)]):
        made = build(exhibits)
        assert b"There are no results on this site yet." in made["index.html"]


def test_settings_are_said_as_a_reader_takes_them(make: Make) -> None:
    prior = {"use": "wgan_gp", "settings": {"steps": 1, "start": None, "layers": [1, 2]}}
    results = make()
    key = results.rows[0].keys["attack"]
    told = {
        "kind": "attack",
        "uses": {"attack": [{"use": "gmi", "settings": {"steps": 300, "clip": True, "prior": prior}}]},
    }
    assert subjects.settings(results.model_copy(update={"provenance": {key: told}}), key, "attack") == {
        "steps": "300", "clip": "yes", "prior": "wgan_gp (steps 1, start none, layers 1, 2)",
    }  # fmt: skip
    assert subjects.settings(results, key, "attack") == {}
