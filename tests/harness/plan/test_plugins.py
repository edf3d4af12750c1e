import json
import textwrap
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from unveil.harness.plan import plugins, reserved
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.plan.file import from_mapping
from unveil.harness.running.matrix import expand
from unveil.harness.types import Defense
from unveil.harness.words.errors import PlanError, PluginError
from unveil.harness.words.spec import LocalPath, Spec


@dataclass(frozen=True)
class Gentle(Defense):
    """A defense with one setting of every sort."""

    strength: Annotated[float, Field(ge=0, le=1)] = 0.5
    layers: tuple[str, ...] = ("stem",)
    prior: Spec = Spec("wgan_gp")  # noqa: RUF009 (frozen)
    weights: LocalPath = "none"

    def content(self):
        return {"weights": "sha256 of it"} if self.weights != "none" else {}


@dataclass
class Melting(Defense):
    """Not frozen."""


@dataclass(frozen=True)
class Nothing:
    """Of no kind."""


@pytest.fixture
def registered(monkeypatch):
    """Replaces what is registered under defenses."""

    def register(**targets):
        points = [EntryPoint(name.split("__")[0], target, "unveil.defenses") for name, target in targets.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "unveil.defenses" else [])
        plugins.registered.cache_clear()

    yield register
    monkeypatch.undo()
    plugins.registered.cache_clear()


def make(settings, tmp_path=Path()):
    return plugin_settings.make("defenses", Spec(f"{Path(__file__)}:Gentle", settings), tmp_path)


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


def test_an_unknown_name_gets_a_suggestion_and_the_choice():
    with pytest.raises(PluginError, match=r"no attacks plugin is called 'gim'; did you mean 'gmi'\?") as error:
        plugins.load("attacks", "gim", Path())
    assert "kedmi" in error.value.expected


def test_a_name_of_another_kind_is_pointed_at():
    with pytest.raises(PluginError, match="'gmi' is registered under attacks"):
        plugins.load("defenses", "gmi", Path())


def test_a_name_like_nothing_gets_no_suggestion():
    with pytest.raises(PluginError) as error:
        plugins.load("attacks", "zzzzzzzzzz", Path())
    assert "did you mean" not in str(error.value)


def test_a_broken_package_is_another_error_than_an_unknown_one(registered):
    registered(torn="no_such_module_anywhere:Torn")
    with pytest.raises(PluginError, match="plugin 'torn' from unknown package cannot be imported: ModuleNotFoundError"):
        plugins.load("defenses", "torn", Path())
    assert plugins.about(plugins.find("defenses", "torn")).line  # a list shows it nevertheless


def test_a_name_that_two_packages_claim_is_refused_by_name_only(registered):
    registered(twin="one:Twin", twin__b="two:Twin", single="unveil.defenses.none:NoDefense")
    with pytest.raises(PluginError, match="2 packages register defenses 'twin'"):
        plugins.load("defenses", "twin", Path())
    assert plugins.load("defenses", "single", Path()).__name__ == "NoDefense"


def test_the_same_entry_seen_twice_is_one_plugin(registered):
    registered(same="unveil.defenses.none:NoDefense", same__b="unveil.defenses.none:NoDefense")
    assert plugins.load("defenses", "same", Path()).__name__ == "NoDefense"


def test_an_entry_without_its_class_is_told_what_there_is(registered):
    registered(gone="unveil.defenses.none:NoDefence")
    with pytest.raises(PluginError, match=r"names no class in unveil.defenses.none; did you mean 'NoDefense'\?"):
        plugins.load("defenses", "gone", Path())


@pytest.mark.parametrize(
    ("name", "message"), [("Melting", "not a frozen dataclass"), ("Nothing", "lacks prepare, learner, begin")]
)
def test_a_class_that_is_no_plugin_is_refused(name, message):
    with pytest.raises(PluginError, match=message):
        plugins.load("defenses", f"{Path(__file__)}:{name}", Path())


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PluginError, match=r"absent\.py does not exist"):
        plugins.load("defenses", "absent.py:Some", tmp_path)


def test_a_file_that_raises_can_be_repaired_and_tried_again(tmp_path):
    path = write(tmp_path / "torn.py", "1 / 0")
    with pytest.raises(PluginError, match=r"torn\.py raised ZeroDivisionError: division by zero"):
        plugins.load("defenses", "torn.py:Fine", tmp_path)
    write(
        path,
        """
        from dataclasses import dataclass
        from unveil.harness.types import Defense

        @dataclass(frozen=True)
        class Fine(Defense):
            "Fine now."
        """,
    )
    assert plugins.load("defenses", "torn.py:Fine", tmp_path).__name__ == "Fine"
    with pytest.raises(PluginError, match=r"did you mean 'Fine'\?"):
        plugins.load("defenses", "torn.py:Fin", tmp_path)


def test_an_unknown_setting_gets_a_suggestion():
    with pytest.raises(PluginError, match=r"has no setting 'strenght'; did you mean 'strength'\?"):
        make({"strenght": 0.1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": "0.5"}, r"strength = '0\.5'\nexpected: a number, without quotes"),
        ({"strength": True}, "strength = true"),
        ({"strength": 2.0}, r"strength = 2\.0\nexpected: at most 1"),
        ({"layers": "stem"}, "layers = 'stem'"),
        ({"layers": [1]}, r"layers\.0 = 1"),
    ],
)
def test_a_setting_of_the_wrong_type_or_size_is_named_with_its_value(settings, message):
    with pytest.raises(PluginError, match=message):
        make(settings)


def test_a_whole_number_will_do_for_a_real_one():
    assert make({"strength": 1}).strength == 1.0


def test_lists_become_tuples_and_survive_a_round_trip():
    plugin = make({"layers": ["stem", "stage1"], "strength": 0.25})
    assert plugin.layers == ("stem", "stage1")
    assert make(plugin_settings.dump(plugin)) == plugin
    json.dumps(plugin_settings.dump(plugin))


def test_a_nested_prior_is_written_in_a_plan_as_a_plugin_is():
    plugin = make({"prior": {"use": "inversion_gan", "steps": 5, "start": "digiface"}})
    assert plugin.prior == Spec("inversion_gan", {"steps": 5, "start": "digiface"})
    assert make(plugin_settings.dump(plugin)) == plugin


def test_a_path_is_relative_to_the_plan_if_something_lies_there(tmp_path):
    (tmp_path / "mine.pt").write_text("weights")
    assert make({"weights": "mine.pt"}, tmp_path).weights == str((tmp_path / "mine.pt").resolve())
    assert make({"weights": "hub"}, tmp_path).weights == "hub"  # a word, not a file


def test_content_replaces_a_path_in_the_identity(tmp_path):
    here, there = tmp_path / "here.pt", tmp_path / "there.pt"
    asked = []
    for path in (here, there):
        path.write_text("the same weights")
        plugin = make({"weights": path.name}, tmp_path)
        asked.append(plugin_settings.question(Spec("gentle", {}), plugin))
    assert asked[0] == asked[1]  # a file that was moved is still the same file
    assert asked[0]["settings"]["weights"] == "sha256 of it"
    assert asked[0]["settings"]["strength"] == 0.5  # defaults are part of what is asked


def test_the_folder_of_a_plugin_file_is_not_part_of_the_identity(tmp_path):
    plugin = make({})
    names = {
        plugin_settings.question(Spec(f"{folder}/my.py:Gentle"), plugin)["use"] for folder in (tmp_path, "/elsewhere")
    }
    assert names == {"my.py:Gentle"}


def test_a_plugin_that_reads_nothing_need_not_say_so(tmp_path):
    write(
        tmp_path / "bare.py",
        """
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Bare:
            "Inherits nothing."
            access = "labels"
            def needs(self): return None
            def reconstruct(self, view, ingredients, labels, run): raise NotImplementedError
        """,
    )
    spec = Spec("bare.py:Bare")
    assert plugin_settings.question(spec, plugin_settings.make("attacks", spec, tmp_path)) == {
        "use": "bare.py:Bare",
        "settings": {},
    }


def test_what_a_list_says_is_read_without_importing():
    entry = plugins.find("attacks", "gmi")
    about = plugins.about(entry)
    assert about.line.startswith("GMI: finds latents")
    assert "CVPR 2020" in about.paper


OWN = """
from dataclasses import dataclass
from typing import Any, ClassVar
from unveil.defenses.none import NoDefense
from unveil.harness.data.mnist import MNIST
from unveil.harness.models.small_resnet import SmallResNet
from unveil.attacks.random_latents import RandomLatents
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.metrics.utility import Utility


@dataclass(frozen=True)
class Own({base}):
    {name}: Any = None
"""
ENTRIES = {
    "data": {"use": "mnist"},
    "target": {"use": "small_resnet"},
    "evaluator": {"use": "plain_cnn", "name": "judge"},
    "defense": {"use": "none"},
    "attack": {"use": "pixel_adversarial"},
    "metric": {"use": "utility"},
}
COLLISIONS = [
    ("data", "MNIST", "name"),
    ("target", "SmallResNet", "trained"),
    ("target", "SmallResNet", "crop"),
    ("evaluator", "SmallResNet", "seed"),
    ("defense", "NoDefense", "tune"),
    ("defense", "NoDefense", "on"),
    ("attack", "RandomLatents", "resolution"),
    ("attack", "RandomLatents", "settings"),
    ("metric", "Utility", "crop"),
]


def planned(tmp_path, part, base, name, **given):
    (tmp_path / "own.py").write_text(OWN.format(base=base, name=name))
    entries = {**ENTRIES, part: {"use": f"{tmp_path}/own.py:Own", "name": "mine", **given}}
    return expand(from_mapping({"title": "T", **entries}))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("part", "base", "name"), COLLISIONS)
def test_a_setting_that_nobody_could_set_is_refused(part, base, name, given, tmp_path):
    """Whether the plan gives it, which would be read as something else, or leaves it out."""
    with pytest.raises(PluginError, match=f"has a setting '{name}', which .* takes for itself") as caught:
        planned(tmp_path, part, base, name, **({name: 3} if given and name != "name" else {}))
    assert "use, " in caught.value.expected
    assert name in caught.value.expected


def test_names_are_taken_only_where_they_would_be_misread(tmp_path):
    assert planned(tmp_path, "target", "SmallResNet", "seed", seed=3).cells  # which an evaluator alone has
    other = tmp_path / "other.py"
    stack = {"use": ["none", f"{other}:Own"], f"{other}:Own": {"tune": 3}}
    other.write_text(OWN.format(base="NoDefense", name="tune"))
    assert expand(from_mapping({"title": "T", **ENTRIES, "defense": stack})).cells
    with pytest.raises(PlanError, match="in a stack 'on' would be the entry's own key"):
        expand(from_mapping({"title": "T", **ENTRIES, "defense": {"use": ["none", "on"]}}))


def test_weights_of_a_prior_are_no_setting_of_it(tmp_path):
    (tmp_path / "own.py").write_text(OWN.format(base="WGANGP", name="trained"))
    attack = {"use": "random_latents", "prior": {"use": f"{tmp_path}/own.py:Own"}}
    with pytest.raises(PluginError, match="has a setting 'trained', which any table that names it takes"):
        expand(from_mapping({"title": "T", **ENTRIES, "attack": attack}))


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_no_registered_plugin_has_a_setting_that_nobody_could_set(kind):
    for name in plugins.registered(kind):
        plugins.refuse_taken(name, plugins.load(kind, name, Path()), reserved.of_kind(kind))
