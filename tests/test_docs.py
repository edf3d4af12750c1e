"""Documentation under test: what it shows must parse, exist and lead somewhere."""

import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from unveil.cli.app import app
from unveil.harness.plan import plugins
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.file import Plan, PlanFile, from_mapping, parse
from unveil.harness.plan.parts import AttackPart, EvaluatorPart, TargetPart, prior_checkpoint
from unveil.harness.plan.settings import make
from unveil.harness.running.matrix import expand
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.spec import Spec, untrained

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMAND = typer.main.get_command(app)
BLOCK = r"(?ms)^```{}(?: title=\"[^\"]+\")?\n(.*?)^```"
FILE = re.compile(r"(?ms)^```\w+ title=\"([^\"]+)\"\n(.*?)^```")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(BLOCK.format(language), page.read_text(encoding="utf-8"))


def write_files(page: Path, folder: Path) -> None:
    """What a page says that one should write: blocks whose title is the name of a file."""
    for name, text in FILE.findall(page.read_text(encoding="utf-8")):
        (folder / name).write_text(text, encoding="utf-8")


PLANS = [
    pytest.param(page, text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, text in enumerate(blocks(page, "toml"))
    if "data" in tomllib.loads(text)
]


def test_there_is_something_to_test() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "plans.md", "plugins.md", "first-matrix.md"} <= names
    assert len(PLANS) >= 4


@pytest.mark.parametrize(("page", "text"), PLANS)
def test_plans_shown_expand(
    page: Path, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_faces: Any
) -> None:
    for name in ("private/ann/1.jpg", "private/bob/1.jpg", "public/1.jpg"):  # content is hashed here, not decoded
        file = tmp_path / "faces" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    write_files(page, tmp_path)
    if "celeba" in text:
        monkeypatch.setenv("UNVEIL_CELEBA", str(made_faces.names_of_celeba(tmp_path / "celeba", 1001)))
    monkeypatch.chdir(tmp_path)
    plan = parse(text, "documentation")
    matrix = expand(PlanFile(plan, text, tmp_path, "documentation"))
    defenses = {cell.defense for cell in matrix.cells}
    assert len(defenses) >= len(plan.defenses)  # more of them where one is swept
    combinations = len(plan.seeds) * len(plan.data) * len(plan.targets) * len(defenses) * len(plan.attacks)
    assert len(matrix.cells) == combinations


FRAGMENTS = [
    pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, text in enumerate(blocks(page, "toml"))
    if not {"data", "project"} & set(tomllib.loads(text))  # whole plans, and what is none
]
WHOLE: dict[str, Any] = {"title": "Whole", "data": {"use": "people"}, "targets": [{"use": "small_resnet"}]}
WHOLE |= {"defenses": [{"use": "none"}], "attacks": [{"use": "held_out_private"}], "metrics": [{"use": "utility"}]}


@pytest.mark.parametrize("text", FRAGMENTS)
def test_parts_of_plans_that_are_shown_are_right(text: str, tmp_path: Path) -> None:
    """Keys of the plan and settings of the plugins; files that they name need not be there."""
    part = tomllib.loads(text)
    if "prior" in part:
        part = {"attacks": [{"use": "mirror", **part}]}
    part = {name if name in Plan.model_fields else f"{name}s": value for name, value in part.items()}
    plan = from_mapping({**WHOLE, **part}).plan
    for kind, entries in (("attacks", plan.attacks), ("metrics", plan.metrics), ("models", plan.evaluators)):
        for entry in entries:
            if entry.use == "adaptive":  # made of another attack of its plan
                continue
            plugin = make(kind, entry.spec, tmp_path)
            if isinstance(prior := getattr(plugin, "prior", None), Spec):
                make("priors", untrained(prior), tmp_path)
                if (weights := prior_checkpoint(prior)) is not None:
                    make("checkpoints", weights, tmp_path)
    for defense in plan.defenses:
        assert defense.stack


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_all_toml_is_toml(page: Path) -> None:
    for text in blocks(page, "toml"):
        tomllib.loads(text)


def shell_lines(page: Path) -> list[list[str]]:
    lines = [line for text in blocks(page, "sh") for line in text.replace("\\\n", " ").splitlines()]
    split = (shlex.split(line, comments=True) for line in lines)
    return [words[1:] for words in split if words[:1] == ["unveil"]]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that a line is about, and what follows it."""
    command, rest = COMMAND, list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    return command, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_blocks_can_be_given(page: Path) -> None:
    for words in shell_lines(page):
        command, rest = command_of(words)
        assert not hasattr(command, "commands"), words
        command.make_context(words[0], rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_exist(page: Path) -> None:
    for line in re.findall(r"`unveil ([^`\n]+)`", page.read_text(encoding="utf-8")):
        name, *words = line.split()
        if name.startswith("--"):
            assert name in ("--help", "--version"), f"unveil {line}"
            continue
        command, words = command_of([name, *words])
        assert command is not COMMAND, f"unveil {line}"
        options = {option for param in command.params for option in param.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, f"unveil {line}"


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [name for name in COMMAND.commands if f"`unveil {name}" not in text]  # type: ignore[attr-defined]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_every_key_of_a_plan_is_explained() -> None:
    text = (ROOT / "docs" / "plans.md").read_text(encoding="utf-8")
    keys = {name for part in (Plan, TargetPart, EvaluatorPart, DefensePart, AttackPart) for name in part.model_fields}
    keys |= {field.name for field in fields(Recipe)}
    missing = sorted(
        key for key in keys if f"`{key}`" not in text and not re.search(rf"(?m)^\W*{key} = |^\[+{key}\]", text)
    )
    assert not missing


def test_every_default_of_the_recipe_is_right() -> None:
    text = (ROOT / "docs" / "plans.md").read_text(encoding="utf-8")
    wrong = []
    section = text.partition("### `recipe`")[2].partition("\n## ")[0]
    for keys, values in re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|", section):
        names = [key for key in re.findall(r"\w+", keys) if key in {field.name for field in fields(Recipe)}]
        for name, value in zip(names, values.split(", "), strict=False):
            told = None if value == "none" else tomllib.loads(f"x = {value.strip('`')}")["x"]
            default = getattr(Recipe(), name)
            if told != (list(default) if isinstance(default, tuple) else default):
                wrong.append(f"{name}: {value}, in truth {default}")
    assert not wrong


def test_every_built_in_plugin_is_named() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    entries = [entry for kind in plugins.KINDS for group in plugins.registered(kind).values() for entry in group]
    entries += [entry for group in plugins.registered("comparers").values() for entry in group]
    own = [entry.name for entry in entries if entry.target.startswith("unveil.")]
    assert own
    assert not [name for name in own if f"`{name}`" not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_made_and_run_exists(page: Path) -> None:
    """Targets of make, and scripts of this project."""
    lines = [line for text in blocks(page, "sh") for line in text.splitlines()]
    targets = re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= set(targets)
    scripts = [script for line in lines for script in re.findall(r"(?:^|\s)python (\S+\.py)", line)]
    assert not [script for script in scripts if not (ROOT / script).is_file()]


def test_no_typographic_punctuation() -> None:
    for page in PAGES:
        assert page.read_text(encoding="utf-8").isascii(), page
