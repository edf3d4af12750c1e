"""Identities are pinned, and only what matters is in them."""

import dataclasses
from typing import Annotated

from pydantic import Field

from unveil.harness.plan import settings
from unveil.harness.plan.canonical import canonical, digest
from unveil.harness.plan.file import PlanFile, parse
from unveil.harness.running.matrix import expand
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LATER, Spec

PLAN = """
title = "t"
[data]
use = "mnist"
[target]
use = "small_resnet"
[evaluator]
use = "plain_cnn"
[[defenses]]
use = "none"
[[defenses]]
use = "tl_dmi"
freeze = "stem"
[[attacks]]
use = "gmi"
[[attacks]]
use = "kedmi"
[metric]
use = "attack_accuracy"
"""


def matrix(tmp_path, text=PLAN):
    return expand(PlanFile(parse(text, "p"), text, tmp_path, "p"))


def test_golden_values():
    assert canonical({"b": 1, "a": [1.5, "ä"]}) == '{"a":[1.5,"\\u00e4"],"b":1}'
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert Run("identity").seed("z", 3) == 1826587276631938473
    assert Run("identity").seed("z", 3) != Run("identity").seed("z3")


def test_all_defenses_share_their_random_numbers_and_nothing_else(tmp_path):
    none_gmi, none_kedmi, frozen_gmi, frozen_kedmi = matrix(tmp_path).cells
    assert none_gmi.nodes["target"].randomness == frozen_gmi.nodes["target"].randomness
    assert none_gmi.nodes["target"].identity != frozen_gmi.nodes["target"].identity
    assert none_gmi.nodes["attack"].randomness == frozen_gmi.nodes["attack"].randomness
    assert none_gmi.nodes["attack"].identity != frozen_gmi.nodes["attack"].identity
    assert none_gmi.nodes["attack"].randomness != none_kedmi.nodes["attack"].randomness
    # a prior that asks the target is trained anew for each; one that does not is shared
    assert none_gmi.nodes["prior"].key == frozen_gmi.nodes["prior"].key
    assert none_kedmi.nodes["prior"].key != frozen_kedmi.nodes["prior"].key


def test_seeds_reach_everything_but_data_and_judges(tmp_path):
    one, two = (matrix(tmp_path, f"seeds = [{seed}]\n{PLAN}") for seed in (0, 1))
    for role in ("target", "prior", "attack"):
        assert one.cells[0].nodes[role].identity != two.cells[0].nodes[role].identity
    assert one.cells[0].nodes["data"].key == two.cells[0].nodes["data"].key
    assert [node.key for node in one.judges.values()] == [node.key for node in two.judges.values()]


def test_names_and_order_do_not_matter(tmp_path):
    renamed = PLAN.replace('use = "gmi"', 'use = "gmi"\nname = "another name"')
    assert {n.key for n in matrix(tmp_path).nodes() if n.kind == "attack"} == {
        n.key for n in matrix(tmp_path, renamed).nodes() if n.kind == "attack"
    }


def test_a_row_says_where_its_recipe_departs(tmp_path):
    own = PLAN.replace('freeze = "stem"', 'freeze = "stem"\nrecipe = { lr = 0.5 }')
    cells = matrix(tmp_path, own).cells
    assert cells[0].notes == ()
    assert cells[2].notes == ("own recipe: lr 0.5 instead of 0.003",)
    assert cells[0].nodes["target"].randomness == cells[2].nodes["target"].randomness
    own = PLAN.replace('freeze = "stem"', 'freeze = "stem"\nrecipe = { people = 16, each = 4 }')
    assert matrix(tmp_path, own).cells[2].notes == ("own recipe: people 16 instead of None, each 4 instead of None",)


def test_a_cell_knows_what_its_attack_sees(tmp_path):
    controls = "".join(f'[[attacks]]\nuse = "{name}"\n' for name in ("brep_mi", "random_latents", "held_out_private"))
    cells = matrix(tmp_path, PLAN.replace("[metric]", f"{controls}[metric]")).cells
    assert [(cell.attack, cell.role, cell.access) for cell in cells[:5]] == [
        ("gmi", "", "white-box"), ("kedmi", "", "white-box"), ("brep_mi", "", "labels"),
        ("random_latents", "floor", "labels"), ("held_out_private", "ceiling", None),
    ]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Grown:
    """A plugin that once had one setting.

    Attributes:
        old: From the start.
        new: Came later.
    """

    old: int = 1
    new: Annotated[Annotated[int, Field(ge=0)] | None, LATER] = None


def test_a_setting_that_came_later_is_said_only_where_it_is_used():
    assert settings.question(Spec("grown"), Grown()) == {"use": "grown", "settings": {"old": 1}}
    assert settings.question(Spec("grown"), Grown(new=0))["settings"] == {"old": 1, "new": 0}
    assert settings.dump(Grown()) == {"old": 1, "new": None}  # a reader is told all of them
