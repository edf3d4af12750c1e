"""A rehearsal: which settings of a plan are cut, by how much, and what plugins have to say in it."""

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from unveil.harness.plan import plugins, settings
from unveil.harness.plan.file import from_mapping, parse
from unveil.harness.plan.lengths import as_spec, lengths
from unveil.harness.plan.scaling import lines, scaled
from unveil.harness.words.errors import PlanError, PluginError

BASE = {
    "title": "T",
    "data": {"use": "celeba", "root": "/nowhere"},
    "target": {"use": "small_resnet"},
    "defense": {"use": "none"},
    "attack": {"use": "random_latents"},
    "metric": {"use": "utility"},
}


def made(scale=0.01, **parts):
    return from_mapping({**BASE, **parts, "scale": scale})


def attack(use, scale=0.01, **given):
    return made(scale, attack={"use": use, **given}).plan.attacks[0].spec.settings


def test_people_epochs_and_what_is_counted_in_them_are_cut_alike():
    found = made(
        identities=300,
        recipe={
            "epochs": 500,
            "warmup": 10.0,
            "milestones": [60, 240, 250],
            "people": 16,
            "each": 4,
        },
        target={"use": "small_resnet", "pretrain": {"epochs": 250}},
        evaluator={"use": "plain_cnn", "recipe": {"epochs": 30, "lr": 1e-3}},
        defense=[{"use": "none"}, {"use": ["ls", "rolss"], "rolss": {"keep_epochs": 100}, "recipe": {"epochs": 200}}],
    )
    plan = found.plan
    assert (plan.identities, plan.data[0].spec.settings["people"], plan.seeds) == (3, 10, [0])
    assert plan.recipe == {
        "epochs": 5, "warmup": 0.1, "milestones": [1, 2, 3], "people": 10, "each": 4, "batch": 40,
    }  # fmt: skip
    assert (plan.targets[0].pretrain, plan.evaluators[0].recipe) == ({"epochs": 3}, {"epochs": 1, "lr": 1e-3})
    assert plan.defenses[1].recipe == {"epochs": 2}
    assert plan.defenses[1].stack[1].settings == {"keep_epochs": 1}
    told = lines(found.cuts)
    assert "plan: identities 300 -> 3" in told
    assert "recipe: epochs 500 -> 5, warmup 10 -> 0.1, milestones [60, 240, 250] -> [1, 2, 3]" in told[2]
    assert made(recipe={}).plan.recipe == {"epochs": 1, "warmup": 0.01}  # what is left out has its default, too


def test_attacks_are_cut_with_the_priors_and_attacks_that_they_name():
    assert attack("gmi") == {"restarts": 1, "steps": 24, "prior": {"use": "wgan_gp", "steps": 560}}
    nested = attack("kedmi", prior={"use": "inversion_gan", "learn_from": "mobile_style", "steps": 100})["prior"]
    assert (nested["steps"], nested["learn_from"]["steps"]) == (1, 8)
    assert attack("lomma", base="gmi", samples=3, steps=100)["base"]["steps"] == 1
    assert attack("ppa", steps=500, milestones=[100, 120, 400])["milestones"] == [1, 4]
    assert attack("if_gmi", scale=0.1)["stages"] == [5, 1, 1, 1, 1, 1, 1, 1]
    adaptive = [{"use": "adaptive", "name": f"of {base}", "base": base} for base in ("ppa", {"use": "gmi"})]
    plan = made(attack=[{"use": "ppa"}, *adaptive]).plan
    by_name, by_table = (part.spec.settings["base"] for part in plan.attacks[1:])
    assert by_name == "ppa"  # the plan's own, which is cut where it stands
    assert by_table["steps"] == 24


def test_nothing_is_cut_below_what_a_plugin_accepts():
    assert attack("smile")["samples"] >= 128  # of which it makes batches of 128
    assert attack("mirror", presamples=500, samples=5, population=100, scale=0.001)["population"] == 2
    few = attack("ppa", pool=1, candidates=1, keep=1, views=1, steps=1, prior="mobile_style")
    assert {name: few[name] for name in ("pool", "candidates", "keep", "views", "steps")} == dict.fromkeys(
        ("pool", "candidates", "keep", "views", "steps"), 1
    )
    for scale in (0.0, 1.5, -1.0):
        with pytest.raises(PlanError, match="scale = "):
            made(scale)


@pytest.mark.parametrize(
    ("use", "given", "cut", "left"),
    [
        ("gmi", {"prior": {"use": "wgan_gp"}}, "its prior wgan_gp: steps", "samples"),
        ("gmi", {"prior": {"use": "wgan_gp", "learn_from": "mobile_style"}}, "samples 4000 -> 40", "nothing"),
        ("gmi", {"prior": {"use": "wgan_gp", "start": "style_gan"}}, "its prior wgan_gp: steps", "samples"),
        ("gmi", {"prior": {"use": "wgan_gp", "start": "style_gan", "train_generator": False}}, "samples 4000", "no"),
        ("plgmi", {}, "its prior conditional_gan: steps", "samples"),
        ("lokt", {"judged_by": "discriminator"}, "lokt: restarts", "student_epochs"),
        ("lokt", {}, "student_epochs 200 -> 2", "nothing"),
        ("lomma", {"variant": "logit"}, "steps 2400 -> 24", "student_epochs"),
        ("align_mi", {"base": {"use": "ppa", "candidates": 50, "keep": 50}}, "its base ppa: pool", "views"),
        ("ppdg_mi", {}, "tune_steps 4766 -> 48", "pivot_steps"),
        ("ppdg_mi", {"base": "ppa", "variant": "ct", "tune_steps": 25}, "pivot_steps 300 -> 3", "nothing"),
        ("mirror_white_box", {"samples": 8}, "steps 20000 -> 200", "views"),
    ],
)
def test_what_changes_nothing_beside_other_settings_is_not_listed_as_cut(use, given, cut, left):
    told = "; ".join(one for one in lines(made(attack={"use": use, **given}).cuts) if one.startswith(use))
    assert cut in told
    assert left not in told


def test_people_of_lists_are_cut(tmp_path):
    """`people` takes the first of them, so that a rehearsal by the published lists is a rehearsal, too."""
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text("")
    lists = {f"{name}_list": str(tmp_path / f"{name}.txt") for name in ("train", "test")}
    (cut,) = [one for one in made(data={**BASE["data"], **lists}).cuts if one.part == "data"]
    assert str(cut) == "people 1000 -> 10"


PARTS = {"datasets": "data", "priors": "attacks", "attacks": "attacks", "metrics": "metrics"}


@pytest.mark.parametrize("kind", PARTS)
def test_every_plugin_can_be_rehearsed_with_no_setting_out_of_its_range(kind):
    for name in plugins.registered(kind):
        cls = plugins.load(kind, name, Path())
        if any(f.default is MISSING and f.default_factory is MISSING for f in fields(cls)):
            continue  # such as a folder that must be named
        entry = {"use": "gmi", "prior": name} if kind == "priors" else {"use": name}
        (found,) = getattr(made(0.003, **{PARTS[kind].removesuffix("s"): entry}).plan, PARTS[kind])
        spec = found.spec if kind != "priors" else as_spec(found.spec.settings["prior"])
        cut, names = settings.make(kind, spec, Path()), lengths(kind, cls)
        for one in names:
            was, now = getattr(cls, one), getattr(cut, one)
            assert now == was or (was and now < was), (name, one)
        assert spec.settings or all(getattr(cls, one) in (None, 1, ()) for one in names), name


STRANGER = """
from dataclasses import dataclass
from typing import ClassVar
from unveil.defenses.none import NoDefense

@dataclass(frozen=True)
class Sweeps(NoDefense):
    cut_by_scale: ClassVar[tuple[str, ...]] = {names}
    sweeps: int = 700
    epochs: int = 90
"""


def test_a_plugin_says_which_of_its_settings_are_cut(tmp_path):
    own, wrong = tmp_path / "own.py", tmp_path / "wrong.py"
    own.write_text(STRANGER.format(names='("sweeps",)'))
    wrong.write_text(STRANGER.format(names='("sweps",)'))
    assert made(defense={"use": f"{own}:Sweeps"}).plan.defenses[0].stack[0].settings == {"sweeps": 7}
    with pytest.raises(PluginError, match="has sweps in cut_by_scale"):
        made(defense={"use": f"{wrong}:Sweeps"})


def test_a_whole_plan_stays_as_it_is_and_a_text_from_elsewhere_loads_nothing():
    whole = from_mapping(BASE)
    assert scaled(whole.plan, Path()) == (whole.plan, ())
    assert whole.notes == ()
    theirs = "\n".join(f'{part} = {{ use = "evil.py:Evil" }}' for part in BASE if part != "title")
    assert parse(f'title = "T"\nscale = 0.5\n{theirs}', "theirs").scale == 0.5
