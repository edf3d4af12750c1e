"""Pages that are made from the code say all that there is to say of it, and nothing wrong."""

import dataclasses
import html
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plugin_pages
import pytest
import typer
from command_pages import commands_page
from plugin_pages import entries, index_page, plugin_page
from reference import vocabulary_page

from unveil.cli.app import app
from unveil.harness import types
from unveil.harness.plan import plugins
from unveil.harness.plan.plugins import Entry
from unveil.harness.plan.settings import make
from unveil.harness.words.spec import Spec

DOCS = Path(__file__).parents[2] / "docs"
EXPLAINED = ("attacks", "defenses", "priors", "metrics", "comparers")  # whose pages have a part that is written by hand
PARTS = ("## Formula", "## Where it comes from", "## Different here, and why")
ALL = [entry for kind in plugin_pages.KINDS for entry in entries(kind)]
ROW = re.compile(
    r"(?m)^\| `(\w+)` \| (.+)<br><small>(.+); (?:default `(.+)`|by default (left out)|(must be set))</small> \|$"
)


def named(entry: Entry) -> str:
    return f"{entry.kind}-{entry.name}"


def page_of(entry: Entry) -> str:
    file = DOCS / entry.kind / f"{entry.name}.md"
    return plugin_page(entry, file.read_text(encoding="utf-8") if file.exists() else "")


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_every_setting_is_explained(entry: Entry) -> None:
    cls = plugins.load(entry.kind, entry.name, Path.cwd())
    rows = ROW.findall(page_of(entry))
    assert [name for name, *_ in rows] == [field.name for field in dataclasses.fields(cls)]
    assert all(about.strip() for _, about, *_ in rows)


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_every_default_can_be_written_into_a_plan(entry: Entry) -> None:
    """And gives what leaving it out gives."""
    cls = plugins.load(entry.kind, entry.name, Path.cwd())
    shown = {name: default for name, _, _, default, *_ in ROW.findall(page_of(entry)) if default}
    told = {name: tomllib.loads(f"x = {html.unescape(text)}")["x"] for name, text in shown.items()}
    required = {field.name for field in dataclasses.fields(cls)} - set(told)
    required = {name for name in required if cls.__dataclass_fields__[name].default is dataclasses.MISSING}
    if required:
        return  # its other settings alone make none
    assert rounded(make(entry.kind, Spec(entry.name, told), Path.cwd())) == rounded(
        make(entry.kind, Spec(entry.name), Path.cwd())
    )


def rounded(plugin: Any) -> list[Any]:
    values = [getattr(plugin, field.name) for field in dataclasses.fields(plugin)]
    return [pytest.approx(value, rel=1e-3) if isinstance(value, float) else value for value in values]


@pytest.mark.parametrize("entry", [one for one in ALL if one.kind in EXPLAINED], ids=named)
def test_every_method_has_its_formula_source_and_deviations(entry: Entry) -> None:
    text = page_of(entry)
    assert [part for part in PARTS if part in text] == list(PARTS)
    paper = plugins.about(entry).paper
    assert not paper or paper in text


@pytest.mark.parametrize("kind", plugin_pages.KINDS)
def test_no_page_is_about_what_is_gone(kind: str) -> None:
    written = {file.stem for file in (DOCS / kind).glob("*.md")} - {"index"}
    assert written <= {entry.name for entry in entries(kind)}
    listed = index_page(kind, "# All")
    assert all(f"[`{entry.name}`]({entry.name}.md)" in listed for entry in entries(kind))


def test_every_quirk_that_is_named_is_in_the_table() -> None:
    known = set(re.findall(r"(?m)^\| (Q-[A-Z]+-\d+) \|", (DOCS / "threat-model.md").read_text(encoding="utf-8")))
    used = {quirk for entry in ALL for quirk in re.findall(r"Q-[A-Z]+-\d+", page_of(entry))}
    assert used
    assert used <= known


def commands(name: str = "unveil", command: Any = None) -> Iterator[tuple[str, Any]]:
    command = command or typer.main.get_command(app)
    for part, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from commands(f"{name} {part}", inner)
        else:
            yield f"{name} {part}", inner


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_option_of_a_command_is_explained(name: str, command: Any) -> None:
    section = commands_page("# Commands").partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert command.help.split("\n")[0] in section
    for param in command.params:
        for option in param.opts if param.param_type_name == "option" else ():
            row = re.search(rf"(?m)^\| `[^`]*(?<![\w-]){option}(?![\w-])[^`]*` \| (.+) \|$", section)
            assert row, option
            assert param.help.split()[0] in row[1]


def test_every_word_that_plugins_import_has_an_entry() -> None:
    page = vocabulary_page("# Words")
    assert re.findall(r"(?m)^::: unveil\.harness\.\S+\.(\w+)$", page) == sorted(types.__all__)
