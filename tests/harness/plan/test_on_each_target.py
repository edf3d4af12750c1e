"""What a plan may say of one target alone: its recipe, and what a defense is on it; and who is attacked."""

import pytest

from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.file import PlanFile, parse, read
from unveil.harness.running.matrix import expand, targets
from unveil.harness.words.errors import PlanError, PluginError

PLAN = """
title = "t"
[data]
use = "mnist"
[recipe]
epochs = 3
[[targets]]
use = "small_resnet"
[[targets]]
use = "small_resnet"
name = "wide"
width = 24
{target}
[[defenses]]
use = "none"
[[defenses]]
use = "tl_dmi"
freeze = "stem"
recipe = {{ batch = 32 }}
{defense}
[[attacks]]
use = "random_latents"
[metric]
use = "utility"
"""
WIDE = '[defenses.on.wide]\nfreeze = "stage2"\nrecipe = { lr = 0.1 }\n'


def file(tmp_path, *, target="", defense="", above="") -> PlanFile:
    text = above + PLAN.format(target=target, defense=defense)
    return PlanFile(parse(text, "p"), text, tmp_path, "p")


def by_cell(plan: PlanFile):
    return {(cell.model, cell.defense): cell for cell in expand(plan).cells}


def identities(plan: PlanFile, role: str):
    return {names: cell.nodes[role].identity for names, cell in by_cell(plan).items()}


def test_a_targets_recipe_is_its_own_under_every_defense(tmp_path):
    plain, changed = file(tmp_path), file(tmp_path, target="recipe = { epochs = 5 }")
    cells = by_cell(changed)
    epochs = {names: cell.nodes["target"].options["recipe"]["epochs"] for names, cell in cells.items()}
    assert {name: {epochs[name, d] for d in ("none", "tl_dmi")} for name in ("small_resnet", "wide")} == {
        "small_resnet": {3},
        "wide": {5},
    }
    before, after = identities(plain, "target"), identities(changed, "target")
    assert {names for names in before if before[names] != after[names]} == {("wide", "none"), ("wide", "tl_dmi")}
    assert cells["wide", "none"].notes == (), "it departs from nothing that other defenses have on this target"
    assert cells["wide", "tl_dmi"].notes == ("own recipe: batch 32 instead of 64",)


def test_a_defense_is_on_a_target_what_is_said_of_it_there(tmp_path):
    cells = by_cell(file(tmp_path, defense=WIDE))
    frozen = {name: cells[name, "tl_dmi"].nodes["target"].uses["defenses"][0].plugin.freeze for name, _ in cells}
    assert frozen == {"small_resnet": "stem", "wide": "stage2"}
    recipe = cells["wide", "tl_dmi"].nodes["target"].options["recipe"]
    assert (recipe["batch"], recipe["lr"]) == (32, 0.1), "joined with what it is on all targets"
    before, after = (identities(file(tmp_path, defense=one), "target") for one in ("", WIDE))
    assert {names for names in before if before[names] != after[names]} == {("wide", "tl_dmi")}


def test_on_a_target_a_stack_may_change_one_of_its_defenses():
    stack = {
        "use": ["tl_dmi", "mid"],
        "tl_dmi": {"freeze": "stem", "statistics": False},
        "on": {"wide": {"tl_dmi": {"freeze": "stage2"}, "mid": {"beta": 0.5}}},
    }
    met = DefensePart.model_validate(stack).meeting("wide")
    assert [spec.settings for spec in met.stack] == [{"freeze": "stage2", "statistics": False}, {"beta": 0.5}]


def test_a_sweep_goes_on_beside_it_and_tuning_has_it_too(tmp_path):
    swept = DefensePart.model_validate({"use": "mid", "sweep": {"beta": [0.1, 0.2]}, "on": {"wide": {"noise": "mean"}}})
    assert [one.meeting("wide").stack[0].settings for one in swept.variants] == [
        {"beta": 0.1, "noise": "mean"},
        {"beta": 0.2, "noise": "mean"},
    ]
    plan = file(tmp_path, defense=WIDE)
    asked = targets(plan, plan.plan.defenses[1])
    assert {name: node.uses["defenses"][0].plugin.freeze for (_, name), node in asked.items()} == {
        "small_resnet": "stem",
        "wide": "stage2",
    }


def test_weights_may_be_given_for_a_defense_on_one_target_alone():
    part = {"use": "mid", "recipe": {"lr": 0.1}, "on": {"wide": {"recipe": {"epochs": 2}, "trained": "mid.pt"}}}
    met = DefensePart.model_validate(part).meeting("wide")
    assert (met.trained, met.recipe) == ("mid.pt", {})


@pytest.mark.parametrize(
    ("defense", "words"),
    [
        ("[defenses.on.wied]\nfreeze = 'stem'", "'wied', which is no target(.|\n)*did you mean 'wide'"),
        ("[defenses.on.wide]\nuse = 'mid'", "on wide changes use, which is one for all targets"),
        ("[defenses.on.wide]\nname = 'x'", "on wide changes name"),
        ("on = 3", "on = 3"),
    ],
)
def test_what_cannot_be_said_of_one_target_is_told(defense, words, tmp_path):
    with pytest.raises(PlanError, match=words):
        file(tmp_path, defense=defense)


def test_what_is_swept_is_not_set_on_a_target():
    part = {"use": "mid", "sweep": {"beta": [0.1]}, "on": {"wide": {"beta": 0.2}}}
    with pytest.raises(ValueError, match="'beta' is both swept and set on wide"):
        DefensePart.model_validate(part)


def test_settings_on_a_target_are_tried_when_the_plan_is_read(tmp_path):
    with pytest.raises(PluginError, match="frieze"):
        expand(file(tmp_path, defense="[defenses.on.wide]\nfrieze = 'stem'"))


def test_the_first_may_be_attacked_and_that_is_another_question(tmp_path):
    drawn = identities(file(tmp_path, above="identities = 3\n"), "attack")
    said = identities(file(tmp_path, above='identities = 3\nattacked = "drawn"\n'), "attack")
    first = identities(file(tmp_path, above='identities = 3\nattacked = "first"\n'), "attack")
    assert drawn == said
    assert all(first[names] != drawn[names] for names in drawn)
    everybody = [identities(file(tmp_path, above=one), "attack") for one in ("", 'attacked = "first"\n')]
    assert everybody[0] == everybody[1], "who attacks all asks nothing else"
    with pytest.raises(PlanError, match="attacked = 'last'"):
        file(tmp_path, above='attacked = "last"\n')


def test_a_rehearsal_cuts_what_is_said_of_one_target_too(tmp_path):
    said = "[defenses.on.wide]\nrecipe = { epochs = 40, batch = 16 }\n"
    text = PLAN.format(target="recipe = { epochs = 20 }", defense=said)
    (tmp_path / "p.toml").write_text("scale = 0.1\n" + text)
    plan = read(str(tmp_path / "p.toml"))
    epochs = {name: cell.nodes["target"].options["recipe"]["epochs"] for name, cell in by_cell(plan).items()}
    assert epochs == {
        ("small_resnet", "none"): 1,
        ("small_resnet", "tl_dmi"): 1,
        ("wide", "none"): 2,
        ("wide", "tl_dmi"): 4,
    }
    assert any("wide, its recipe: epochs 20 -> 2" in note for note in by_cell(plan)["wide", "none"].notes)
    assert any("tl_dmi on wide, its recipe: epochs 40 -> 4" in note for note in by_cell(plan)["wide", "tl_dmi"].notes)
