"""What a plan file may look like, and what its writer is told where it may not."""

import re
import string
from pathlib import Path

import pytest

from unveil.harness.plan.file import parse, read
from unveil.harness.running.matrix import expand
from unveil.harness.words.errors import PlanError, UnveilError

PLAN = """title = "Tiny"
pictures = 2
defenses = [{ use = "none" }]

[data]
use = "mnist"
size = 16

[recipe]
epochs = 3

[target]
use = "small_resnet"
width = 4

[evaluator]
use = "plain_cnn"
name = "judge"
others = "nobody"

[[attacks]]
use = "pixel_adversarial"

[[metrics]]
use = "utility"
"""

ATTACK = '[[attacks]]\nuse = "pixel_adversarial"'


def edited(*pairs: str) -> str:
    text = PLAN
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return text


def told(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UnveilError) as caught:
        expand(read(str(path)))
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + PLAN.encode(),
        PLAN.replace("\n", "\r\n").encode(),
        PLAN.replace("\n", "\r").encode(),
        PLAN.replace(" = ", "\t=\t").encode(),
        PLAN.replace("[[attacks]]", "[attack]").encode(),
    ],
)
def test_what_editors_do_to_a_file_changes_nothing(data, tmp_path):
    (tmp_path / "mine.toml").write_bytes(data)
    file = read(str(tmp_path / "mine.toml"))
    assert file.plan == parse(PLAN, "plan")
    assert file.text.splitlines()[0].split() == ["title", "=", '"Tiny"']


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PLAN.encode("utf-16"), "UTF-16"),
        (PLAN.encode("utf-16-be"), "UTF-16"),
        (edited("Tiny", "M\u00fcller").encode("latin-1"), 'line 1 of .* is not in UTF-8: title = "Müller"'),
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (b'{"title": "x"}', "is JSON"),
        (b"title: x\ndata:\n  use: folder\n", "is YAML"),
        (edited('"Tiny"', "\u201cTiny\u201d"), "curly quotes"),
        (edited("size = 16", "size\u00a0= 16"), "no plain one"),
        (edited("pictures = 2", "pictures = True"), "small letter"),
        (edited("epochs = 3", "lr = 0,001"), r"lr = 0,001\nexpected: TOML\nto do: it has a decimal comma"),
        (edited("epochs = 3", "lr = .5"), "both sides of the decimal point"),
        (edited("size = 16", "size = None"), "leave the key out"),
        (edited("size = 16", "size: 16"), "not a colon"),
        (edited('"Tiny"', "Tiny"), "text stands in quotes"),
        (edited('"Tiny"', '"Tiny'), "not closed"),
        (edited('"mnist"', r'"C:\users\me"'), "write / in paths"),
        (edited('{ use = "none" }', '{\n use = "none" }'), "on one line"),
        (edited("size = 16", "size = 16\nsize = 8"), "there twice"),
        (edited("[[attacks]]", "[attacks]") + '[attacks]\nuse = "gmi"\n', r"\[\[attacks\]\], in double brackets"),
    ],
)
def test_what_is_no_toml_is_told_as_what_it_is(data, words, tmp_path):
    assert re.search(words, told(tmp_path / "mine.toml", data))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (edited('title = "Tiny"\n', "", "size = 16", 'size = 16\ntitle = "Tiny"'), r"'title' stands below \[data\]"),
        (
            edited('defenses = [{ use = "none" }]', "") + 'prior = { defenses = [{ use = "none" }] }\n',
            r"'defenses' stands below \[metrics.prior\]",
        ),
        (edited("size = 16", "size = 16\nseeds = [1]"), "'seeds' stands in the table of mnist"),
        (edited("epochs = 3", "epochs = 3\nidentities = 2"), "'identities' stands in the table of the recipe"),
        (PLAN + "pictures = 0\n", "'pictures' stands in the table of utility"),
        ("size = 16\n" + edited("size = 16\n", ""), r"it belongs to mnist, .*\n.*\nto do: move it below \[data\]"),
        ("epochs = 2\n" + PLAN, r"move it below \[recipe\]"),
        ('others = "none"\n' + PLAN, r"move it below \[evaluator\]"),
        (edited("pictures = 2", "picturse = 2"), "did you mean 'pictures'"),
        (PLAN + '[[targets]]\nuse = "plain_cnn"\n', "has both 'target' and 'targets'"),
        (edited('use = "mnist"', 'uze = "mnist"'), "data: use is missing: 'uze' is there"),
        (
            edited('[[attacks]]\nuse = "pixel_adversarial"', "[attacks.gmi]\nsteps = 2"),
            r'write \[\[attacks\]\] .*"gmi"',
        ),
        (edited('[[attacks]]\nuse = "pixel_adversarial"', ""), r"attacks is missing(.|\n)*add \[\[attacks\]\]"),
        ("seeds = 3\n" + PLAN, r"seeds = 3\nexpected: a list"),
        (
            'metrics = "utility"\n' + edited('[[metrics]]\nuse = "utility"', ""),
            r"metrics = 'utility'\nexpected: a table",
        ),
        (edited("size = 16", 'size = "16"'), r"mnist: size = '16'\nexpected: a whole number, without quotes"),
        (edited("epochs = 3", "epochs = 2.5"), r"recipe: epochs = 2.5\nexpected: a whole number\nto do: see docs"),
        (edited('"nobody"', '"nobodies"'), "others = 'nobodies'\nexpected: one of 'identities', 'nobody' or 'none'"),
    ],
)
def test_a_key_in_the_wrong_place_or_with_the_wrong_value_is_told_where_and_what(text, words, tmp_path):
    assert re.search(words, told(tmp_path / "mine.toml", text))


def test_a_setting_that_is_called_as_a_key_of_the_plan_is_a_setting(tmp_path):
    (tmp_path / "mine.toml").write_text(edited("size = 16", "size = 16\npictures = 20"))
    matrix = expand(read(str(tmp_path / "mine.toml")))
    assert matrix.cells[0].nodes["data"].uses["dataset"][0].question["settings"]["pictures"] == 20


def test_a_plan_needs_a_judge_only_where_a_metric_asks_one(tmp_path):
    alone = re.sub(r"\[evaluator\][^[]*", "", PLAN)
    (tmp_path / "mine.toml").write_text(alone)
    assert not expand(read(str(tmp_path / "mine.toml"))).judges
    words = told(tmp_path / "mine.toml", alone + '[[metrics]]\nuse = "attack_accuracy"\n')
    assert "metric 'attack_accuracy' asks a judge" in words
    assert "add [evaluator]" in words


def test_a_plan_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("mine.toml").write_text(PLAN)
    assert read("~/mine.toml").name == "mine"
    for where, words in {
        "quick.toml": "the preset is called 'quick'",
        "quik": "did you mean 'quick'",
        "celeba64": "the preset is called 'published/celeba64'",
        "other.toml": "there is no plan 'other.toml'\n",
        ".": "is a folder(.|\n)*name the file: mine.toml",
    }.items():
        with pytest.raises(PlanError, match=words):
            read(where)


def test_no_text_makes_the_reader_of_plans_stumble():
    for text in (*string.printable, "[", "[[", "=", "a", "a.b", "a = {", 'x = "', "[a]\n[a]", "[[a]]\n[a]", "\x00"):
        with pytest.raises(PlanError):
            parse(text, "plan")
