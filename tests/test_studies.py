"""The tables and figures of the studies are what their stored rows give, and the rows name nobody."""

import json
import lzma
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unveil.harness.plan.file import parse, presets

STUDIES = Path(__file__).parent.parent / "docs" / "studies"
STUDY = STUDIES / "real-people"
TABLE = re.compile(r"(<!-- table: [^>]+ -->\n).*?(?=<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("file", sorted(STUDIES.rglob("*.toml")), ids=lambda file: file.stem)
def test_plans_are_plans(file: Path) -> None:
    plan = parse(file.read_text(encoding="utf-8"), str(file))
    assert plan.attacks
    assert plan.defenses


@pytest.mark.parametrize("page", sorted(STUDIES.glob("*/README.md")), ids=lambda page: page.parent.name)
def test_every_study_can_be_run_again(page: Path) -> None:
    """Its page gives the command, and what that names is there: a plan, a preset or a script."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"(?ms)^```sh\n(.*?)^```", text) for line in block.splitlines()]
    named = [word for line in lines for word in re.findall(r"^(?:unveil (?:run|fisher)|python) (\S+)", line)]
    assert named
    assert not [name for name in named if name not in presets() and not (STUDIES.parent.parent / name).is_file()]
    plans = {file.name for file in page.parent.glob("*.toml")}
    assert not [name for name in plans if name not in text]
    assert f"{page.parent.name}/README.md" in (STUDIES / "index.md").read_text(encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A copy of the study, its tables and its figure taken out."""
    copy = shutil.copytree(STUDY, tmp_path / "study", ignore=shutil.ignore_patterns("__pycache__"))
    page = copy / "README.md"
    page.write_text(TABLE.sub(r"\1", page.read_text(encoding="utf-8")), encoding="utf-8")
    (copy / "leakage.svg").unlink()
    return copy


def tables(study: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(study / "tables.py"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def values(text: str) -> list[str]:
    """Of the table of all defenses, without the intervals."""
    table = text.partition("<!-- table: against none -->")[2].partition("<!-- end -->")[0]
    found = re.findall(r"(-?[\d.]+) \[", table)
    assert len(found) > 50
    return found


def stored() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(lzma.decompress((STUDY / "results" / "rows.json.xz").read_bytes()))
    return rows


def test_page_and_figure_follow_from_the_stored_rows(study: Path) -> None:
    tables(study, "--write")
    for name in ("README.md", "leakage.svg"):
        assert (study / name).read_text(encoding="utf-8") == (STUDY / name).read_text(encoding="utf-8")


def test_tables_follow_rows_of_ones_own(study: Path) -> None:
    """Two seeds that agree leave every value as it is."""
    twice = study / "twice.json"
    twice.write_text(json.dumps([row | {"seed": seed} for seed in (0, 1) for row in stored()]), encoding="utf-8")
    (study / "results" / "rows.json.xz").unlink()
    assert values(tables(study, str(twice))) == values((STUDY / "README.md").read_text(encoding="utf-8"))


def test_rows_name_nobody() -> None:
    people = {name for row in stored() for figure in row["figures"] for name in figure["per_identity"]}
    assert len(people) == 53
    assert all(name.isdigit() for name in people)
    assert not re.search(r"""["\s](?:[A-Z]:\\|[~.]{0,2}/)\w""", json.dumps(stored()))


def test_the_tables_of_adaptive_attacks_are_what_their_rows_give() -> None:
    study = STUDIES / "real-people-adaptive"
    page, made = (study / "README.md").read_text(encoding="utf-8"), tables(study)
    blocks = re.findall(r"<!-- table: [^>]+ -->.*?<!-- end -->", made, re.DOTALL)
    assert len(blocks) == 3
    assert all(block in page for block in blocks)
    rows = lzma.decompress((study / "results" / "rows.json.xz").read_bytes()).decode()
    assert not re.search(r"[A-Z][a-z]+_[A-Z][a-z]+", rows)  # nobody's name


@pytest.mark.parametrize("name", ["people-second-wave", "real-people-second-wave"])
def test_the_second_waves_tables_are_made_of_its_rows(name: str, tmp_path: Path) -> None:
    for study in {"people-second-wave", name}:  # one has the code of both
        shutil.copytree(STUDIES / study, tmp_path / study, ignore=shutil.ignore_patterns("__pycache__"))
    copy = tmp_path / name
    page = copy / "README.md"
    whole = page.read_text(encoding="utf-8")
    page.write_text(TABLE.sub(r"\1", whole), encoding="utf-8")
    assert page.read_text(encoding="utf-8").count("\n|") < whole.count("\n|") / 2
    tables(copy, "--write")
    assert page.read_text(encoding="utf-8") == whole
    rows = "".join(lzma.decompress(one.read_bytes()).decode() for one in (copy / "results").iterdir())
    assert not re.search(r"[A-Z][a-z]+_[A-Z][a-z]+", rows)  # nobody's name
