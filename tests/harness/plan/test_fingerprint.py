"""What the code hash sees and what it does not."""

import glob
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unveil import attacks, defenses, harness, leaderboard, metrics
from unveil.harness.plan import fingerprint as code

PACKAGE = {
    "__init__": "",
    "face": "from toy.words import Answer, Question\nfrom toy.other import Other as Renamed\n__all__ = ['Answer']",
    "words": "class Answer: ...\nclass Question: ...",
    "other": "import toy.deep\nclass Other: ...",
    "deep": "x = 1",
    "hints": "class Hint: ...",
    "step": "import typing\nfrom toy.face import Answer\nif typing.TYPE_CHECKING:\n    from toy.hints import Hint",
    "whole": "import toy.face",
    "lazy": "def f():\n    from .face import Renamed",
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    folder = tmp_path / "toy"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def write(**changed):
        for name, text in {**PACKAGE, **changed}.items():
            (folder / f"{name}.py").write_text(text)
        for cached in (code.fingerprint, code.reached, code._source):
            cached.cache_clear()

    write()
    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
        del sys.modules[name]
    for cached in (code.fingerprint, code.reached, code._source):
        cached.cache_clear()


def test_an_import_leads_through_a_face_to_the_module_that_defines(toy):
    assert set(code.reached("toy.step")) == {"toy.step", "toy.words"}
    assert set(code.reached("toy.lazy")) == {"toy.lazy", "toy.other", "toy.deep"}
    assert set(code.reached("toy.whole")) == {"toy.whole", "toy.face", "toy.words", "toy.other", "toy.deep"}


def test_what_a_face_passes_on_besides_changes_nothing(toy):
    before = code.fingerprint("toy.step")
    toy(other="class Other:\n    more = 1", face=PACKAGE["face"] + "\nfrom toy.deep import x", hints="y = 2")
    assert code.fingerprint("toy.step") == before
    toy(words="class Answer:\n    more = 1")
    assert code.fingerprint("toy.step") != before


def test_comments_docstrings_and_layout_do_not_count_but_code_does(toy):
    before = code.fingerprint("toy.words")
    toy(words='"""Words."""\n\n\nclass Answer:\n    """One."""\n    ...  # nothing\n\n\nclass Question: ...\n')
    assert code.fingerprint("toy.words") == before
    toy(words="class Answer: ...\nclass Question: pass")
    assert code.fingerprint("toy.words") != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = None", "x = ()"),
        ("f(a, *b)", "f(*b, a)"),
        ("x = {**a}", "x = {None: a}"),
        ("x = 1", "x = 1.0"),
        ("x: int", "x: int = 0"),
    ],
)
def test_other_code_has_another_form(one, other):
    assert code.form(code.bare(one)) != code.form(code.bare(other))


def others():
    """Interpreters of other versions that can parse this project, where any are installed."""
    names = [f"python3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]
    found = [path for name in names if (path := shutil.which(name))]
    found += glob.glob(str(Path.home() / ".pyenv/versions/3.1[1-9]*/bin/python"))
    versions = {}
    for path in found:
        asked = subprocess.run(
            [path, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            versions.setdefault(asked.stdout.strip(), path)
    versions.pop(str(sys.version_info[:2]), None)
    return list(versions.values())


HASH = """
import glob, hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("code", sys.argv[1])
code = sys.modules["code"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(code)
for path in sys.stdin.read().split("\\n"):
    print(hashlib.sha256(code.form(code.bare(open(path, encoding="utf-8").read())).encode()).hexdigest())
"""


def test_every_source_has_one_hash_on_all_pythons(tmp_path):
    pythons = others()
    if not pythons:
        pytest.skip("no other Python from 3.11 on is installed")
    new = tmp_path / "new.py"
    new.write_text(
        "def f(x, *, y=None):\n    return f'{x!r:>{y}} {{}}' f\"{y}\" if x else (yield)\nu = u'a', b'\\0', 1e-3"
    )
    folders = [
        Path(package.__file__).resolve().parent for package in (attacks, defenses, harness, leaderboard, metrics)
    ]
    sources = [str(new), *(str(path) for folder in folders for path in sorted(folder.glob("**/*.py")))]
    own = [
        hashlib.sha256(code.form(code.bare(Path(path).read_text(encoding="utf-8"))).encode()).hexdigest()
        for path in sources
    ]
    assert len(sources) > 100
    for python in pythons:
        told = subprocess.run(
            [python, "-c", HASH, code.__file__], input="\n".join(sources), capture_output=True, text=True, check=True
        )
        assert told.stdout.split() == own, python
