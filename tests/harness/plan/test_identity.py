"""Identities are pinned, and only what matters is in them."""

import dataclasses
from typing import Annotated

import pytest
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


FILED = """
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.types import Access, LocalPath, Origin


@dataclass(frozen=True)
class Prior:
    file: LocalPath = "none"
    other: str = ""
    access: ClassVar[Access | None] = None

    def content(self):
        return {"file": hashlib.sha256(Path(self.file).read_bytes()).hexdigest()} if self.file != "none" else {}

    def origin(self):
        return Origin("random numbers", publishable=True)

    def build(self, classes, shape):
        raise RuntimeError("it is not asked for")

    fit = build


@dataclass(frozen=True)
class Eyes(SmallResNet):
    weights: LocalPath = "none"

    def content(self):
        return {"weights": hashlib.sha256(Path(self.weights).read_bytes()).hexdigest()}
"""
IN_PLACES = {
    "an attack's prior": "use = 'random_latents', prior = { use = 'own.py:Prior', file = FILE }",
    "of a base": "use = 'align_mi', base = { use = 'gmi', prior = { use = 'own.py:Prior', file = FILE } }",
    "of LOMMA's base": "use = 'lomma', variant = 'logit', prior = { use = 'own.py:Prior', file = FILE }",
    "of an attack that was run before": (
        "use = 'ppdg_mi', variant = 'pw', base = { use = 'gmi', prior = { use = 'own.py:Prior', file = FILE } }"
    ),
    "where a prior starts": (
        "use = 'gmi', prior = { use = 'wgan_gp', learn_from = { use = 'own.py:Prior', file = FILE } }"
    ),
    "a model's": "use = 'smile', trunk = { use = 'own.py:Eyes', weights = FILE }",
    "one of several": "use = 'lokt', models = [{ use = 'own.py:Eyes', weights = FILE }]",
}


@pytest.mark.parametrize("where", IN_PLACES)
def test_where_a_file_lies_is_no_part_of_a_question(where, tmp_path):
    (tmp_path / "own.py").write_text(FILED)
    (tmp_path / "moved").mkdir()
    for name, content in (("a.bin", b"1"), ("moved/b.bin", b"1"), ("c.bin", b"2")):
        (tmp_path / name).write_bytes(content)

    def keys(name):
        attack = f"attacks = [{{ {IN_PLACES[where].replace('FILE', repr(str(name)))} }}]\n"
        text = f"{attack}title = 'T'\ndata = {{ use = 'mnist', size = 16 }}\ntarget = {{ use = 'small_resnet' }}\n"
        text += "defenses = [{ use = 'none' }]\nmetrics = [{ use = 'utility' }]\n"
        return [(node.key, node.randomness) for node in matrix(tmp_path, text).nodes()]

    assert keys("a.bin") == keys("moved/b.bin") == keys(tmp_path / "a.bin")
    assert keys("a.bin") != keys("c.bin")


@pytest.mark.parametrize(
    "attack", ["use = 'align_mi', base = { use = 'PLACE:Mine' }", "use = 'gmi', prior = 'PLACE:P'"]
)
def test_nor_is_where_a_plugin_lies_that_is_a_setting(attack, tmp_path):
    own = "from unveil.attacks.gmi import GMI as Mine\nfrom unveil.attacks.priors.wgan_gp import WGANGP as P\n"
    for folder in (tmp_path, tmp_path / "moved"):
        folder.mkdir(exist_ok=True)
        (folder / "own.py").write_text(own)

    def asked(place):
        text = f"attacks = [{{ {attack.replace('PLACE', str(place))} }}]\n{PLAN.partition('[[attacks]]')[0]}"
        cells = matrix(tmp_path, f"{text}[metric]\nuse = 'utility'\n").cells
        return [(cell.nodes["attack"].identity, cell.nodes["attack"].randomness) for cell in cells]

    assert asked("own.py") == asked("moved/own.py") == asked(tmp_path / "own.py")


def test_a_word_that_is_also_a_file_stays_a_word(tmp_path):
    (tmp_path / "z100").touch()
    spec = Spec("random_latents", {"prior": {"use": "wgan_gp", "start": "z100"}})
    asked = settings.question(spec, settings.make("attacks", spec, tmp_path), tmp_path)
    assert asked["settings"]["prior"]["settings"] == {"start": "z100"}
