import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unveil.cli.app import app
from unveil.cli.scaffold import scaffold
from unveil.harness.conformance import check
from unveil.harness.plan.file import PlanFile, parse
from unveil.harness.plan.plugins import KINDS
from unveil.harness.plan.settings import dump, make
from unveil.harness.running.matrix import expand
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import Spec


@pytest.mark.parametrize("kind", KINDS)
def test_as_generated_it_conforms(kind, tmp_path):
    folder = scaffold(kind, "my_own_2", tmp_path)
    package = folder / "src" / "unveil_my_own_2"
    report = check("my_own_2.py:MyOwn2", base=package)
    assert report.ok, str(report)
    assert report.kind == kind
    passed_over = [one.name for one in report.findings if one.ok is None and "draws" not in one.detail]
    assert len(set(passed_over) - {"says that it changes answers alone"}) <= 1
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {f"unveil.{kind}": {"my_own_2": "unveil_my_own_2.my_own_2:MyOwn2"}}
    text = (folder / "plan.toml").read_text()
    assert 'use = "my_own_2"' in text
    plan = parse(text.replace('"my_own_2"', '"my_own_2.py:MyOwn2"'), "plan.toml")
    cells = expand(PlanFile(plan, text, package, "plan")).cells  # makes every plugin
    assert len(cells) == (2 if kind == "defenses" else 1)
    if kind != "metrics":
        assert dump(make(kind, Spec("my_own_2.py:MyOwn2"), package))  # it shows how settings are declared


def run(*command, cwd, path):
    environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *command]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_package_installs_and_its_own_test_passes(tmp_path):
    folder, site = scaffold("defenses", "my_noise", tmp_path), tmp_path / "site"
    pip = ("pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = run(*pip, "--target", str(site), str(folder), cwd=tmp_path, path="")
    assert done.returncode == 0, done.stderr
    tested = run("pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests"), cwd=folder, path=site)
    assert tested.returncode == 0, tested.stdout


def test_nothing_is_overwritten(tmp_path):
    folder = scaffold("metrics", "mine", tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(PluginError, match="is there already"):
        scaffold("metrics", "mine", tmp_path)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["My-Noise", "2fast", "class", "a b", "", "Ünicode", "../up", "_private"])
def test_a_name_that_no_module_can_have_is_refused(name, tmp_path):
    with pytest.raises(PluginError, match="cannot be the name of a plugin"):
        scaffold("defenses", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_refused_name_gets_a_better_one(tmp_path):
    with pytest.raises(PluginError, match="such as my_noise"):
        scaffold("defenses", "My-Noise", tmp_path)


def test_a_name_that_is_taken_is_refused(tmp_path):
    with pytest.raises(PluginError, match=r"already have 'gmi', from unveil \d"):
        scaffold("attacks", "gmi", tmp_path)


def test_the_command(tmp_path):
    done = CliRunner().invoke(app, ["new", "attack", "mine", "--into", str(tmp_path / "deep" / "er")])
    assert done.exit_code == 0
    files = [Path(line) for line in done.stdout.splitlines() if line.startswith(str(tmp_path))]
    assert len(files) == 6
    assert all(file.is_file() for file in files)
    readme = (tmp_path / "deep" / "er" / "unveil-mine" / "README.md").read_text()
    for command in ("pip install -e .", "unveil check mine", "unveil run plan.toml"):
        assert command in readme
