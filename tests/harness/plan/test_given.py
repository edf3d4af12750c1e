"""What a plan is given beside its file: ``--set``, the environment, a preset's folder; and that its text keeps it."""

import pytest

from unveil.harness.plan import file as plans
from unveil.harness.plan.file import from_mapping, name_of, parse, presets, read
from unveil.harness.words.errors import PlanError

PLAN = """title = "Mine"

[data]
use = "folder"
private = "${UNVEIL_FACES}/private"
public = "public"

[target]
use = "small_resnet"

[[defenses]]
use = "none"

[[defenses]]
use = ["tl_dmi", "ls"]
ls = { alpha = -0.1 }

[[attacks]]
use = "gmi"
prior = "wgan_gp"

[[attacks]]
use = "gmi"
name = "gmi v1.5, long"
steps = 4000

[[metrics]]
use = "utility"
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("UNVEIL_FACES", "/data/faces")
    path = tmp_path / "mine.toml"
    path.write_text(PLAN)
    return str(path)


def test_a_key_leads_to_every_part_of_a_plan(mine):
    plan = read(
        mine,
        [
            "title=With a blank, and = in it",
            "seeds=[3, 4]",
            "data.public=/elsewhere",  # a list of one entry needs no name
            "data.folder.size=32",
            "targets.1.width=8",
            "recipe.epochs=2",  # no such table in the file
            "defenses.tl_dmi+ls.ls.alpha=-0.2",
            "attacks.gmi.prior.steps=7",  # its plugin is named in short
            'attacks."gmi v1.5, long".steps = 9',
            "attacks.2.restarts=1",
            "metric.use=copies",
            "pictures=1",
            "pictures=2",
        ],
    ).plan
    assert (plan.title, plan.seeds, plan.pictures) == ("With a blank, and = in it", [3, 4], 2)
    assert plan.data[0].spec.settings == {"private": "/data/faces/private", "public": "/elsewhere", "size": 32}
    assert (plan.targets[0].spec.settings, plan.recipe) == ({"width": 8}, {"epochs": 2})
    assert plan.defenses[1].stack[1].settings == {"alpha": -0.2}
    assert plan.attacks[0].spec.settings == {"prior": {"use": "wgan_gp", "steps": 7}}
    assert plan.attacks[1].spec.settings == {"steps": 9, "restarts": 1}
    assert plan.metrics[0].use == "copies"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("attacks.gmi.steps", "a key of the plan, = and a value"),
        ("=3", "a key of the plan, = and a value"),
        ("attacks.gmj.steps=3", "no entry 'gmj'; did you mean 'gmi'"),
        ("attacks.3.steps=3", "a number from 1 to 2"),
        ("attacks.0.steps=3", "a number from 1 to 2"),
        ("title.more=3", "'title' is 'Mine', and nothing lies in it"),
        ("evaluators.judge.seed=3", "the plan has no evaluators"),
        ("recip.epochs=3", "unknown key 'recip'; did you mean 'recipe'"),
        ("seeds=[0, 1", r"seeds = '\[0, 1'"),
        (".".join("a" * 40) + "=1", "a key of the plan, = and a value"),
        ("attacks.1.prior=" + "[" * 60 + "]" * 60, "more than 32 deep"),
        ("title=2024-05-05\x00\udcff", "is no text in UTF-8"),
    ],
)
def test_what_cannot_be_set_is_told(mine, text, words):
    with pytest.raises(PlanError, match=words):
        read(mine, [text])


def test_the_text_of_a_plan_as_run_says_all_that_it_was_given_and_can_be_run_again(mine, tmp_path, monkeypatch):
    first = read(mine, ['title="A \\"B\\" ü"', "attacks.1.steps=5"])
    assert first.text.endswith(PLAN)
    assert parse(first.text, "as run") == first.plan
    again = tmp_path / "again.toml"
    again.write_text(first.text)
    monkeypatch.delenv("UNVEIL_FACES")
    assert read(str(again)).plan == first.plan
    assert read(str(again)).text == first.text
    changed = read(str(again), ["attacks.1.steps=6"])
    assert (changed.plan.title, changed.plan.attacks[0].spec.settings["steps"]) == ('A "B" ü', 6)
    assert changed.text.count("steps=") == 1
    for damage in ("set = [3, ", "sets = [", "set = [" + "[" * 5000, f"set{'.a' * 5000} = ["):
        again.write_text(first.text.replace("set = [", damage))
        with pytest.raises(PlanError, match="what it was given cannot be read"):
            read(str(again))


def test_only_our_own_variables_of_the_environment_are_read(mine, monkeypatch):
    assert 'UNVEIL_FACES = "/data/faces"' in read(mine).text
    assert read(mine, ["data.public=${UNVEIL_FACES}/b"]).plan.data[0].spec.settings["public"] == "/data/faces/b"
    monkeypatch.delenv("UNVEIL_FACES")
    with pytest.raises(PlanError, match=r"data\.private takes its value from .* UNVEIL_FACES, which is not set"):
        read(mine)
    monkeypatch.setenv("UNVEIL_FACES", "/data")
    with pytest.raises(PlanError, match=r"attacks\.gmi v1\.5, long\.lr names the environment variable HOME"):
        read(mine, ["attacks.2.lr=${HOME}"])


def test_a_text_from_somebody_else_reads_nothing_of_this_machine(mine):
    assert parse(PLAN, "theirs").data[0].spec.settings["private"] == "${UNVEIL_FACES}/private"


def test_a_dictionary_is_given_the_same(mine):
    tables = {"title": "T", "data": {"use": "people"}, "target": {"use": "small_resnet"}, "defense": {"use": "none"}}
    tables |= {"attacks": [{"use": "gmi", "steps": 5}], "metrics": [{"use": "utility"}]}
    made = from_mapping(tables, ["attacks.gmi.steps=6", "title=${UNVEIL_FACES}"])
    assert (made.plan.title, made.plan.attacks[0].spec.settings) == ("/data/faces", {"steps": 6})
    assert tables["attacks"][0]["steps"] == 5


@pytest.fixture
def shelf(mine, tmp_path, monkeypatch):
    """Presets, of which one lies in a folder; and a working directory without any."""
    for name in ("short", "published/faces64"):
        (tmp_path / f"presets/{name}.toml").parent.mkdir(exist_ok=True)
        (tmp_path / f"presets/{name}.toml").write_text(PLAN.replace("Mine", name))
    monkeypatch.setattr(plans, "PRESETS", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)


def test_presets_lie_in_folders_too(shelf, tmp_path):
    assert presets() == ["published/faces64", "short"]
    for where in ("published/faces64", "published/faces64.toml"):
        found = read(where)
        assert (found.plan.title, found.name, found.path) == ("published/faces64", "published_faces64", None)
    (tmp_path / "published").mkdir()
    (tmp_path / "published/faces64.toml").write_text(PLAN)
    assert read("published/faces64.toml").plan.title == "Mine"  # a file goes before a preset
    assert (name_of("published/faces64.toml"), name_of("published/faces64")) == ("faces64", "published_faces64")
    with pytest.raises(PlanError, match="did you mean 'published/faces64'"):
        read("published/face64")
