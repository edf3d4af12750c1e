"""What it takes to expand a plan: each plugin is made once, however many cells use it."""

import pickle
from collections import Counter
from dataclasses import replace

from unveil.harness.plan import settings
from unveil.harness.plan.file import PlanFile, parse
from unveil.harness.plan.node import Use
from unveil.harness.running.matrix import expand
from unveil.harness.words.spec import Spec

PLAN = """
title = "t"
seeds = [0, 1]
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
[[attacks]]
use = "random_latents"
[[metrics]]
use = "attack_accuracy"
[[metrics]]
use = "utility"
"""


def test_each_plugin_is_made_once_per_setting(tmp_path, monkeypatch):
    made, make = Counter(), settings.make

    def counted(kind, spec, base):
        made[kind, spec] += 1
        return make(kind, spec, base)

    monkeypatch.setattr(settings, "make", counted)
    matrix = expand(PlanFile(parse(PLAN, "p"), PLAN, tmp_path, "p"))
    assert len(matrix.cells) == 12
    assert len({node.key for node in matrix.nodes()}) == len(matrix.nodes())
    assert set(made.values()) == {1}
    assert {kind for kind, _ in made} == {"datasets", "models", "defenses", "attacks", "priors", "metrics"}


def test_what_computes_has_a_plugin_of_its_own(tmp_path):
    use = Use("attacks", Spec("gmi", {"steps": 3}), str(tmp_path))
    assert use.plugin is use.plugin
    assert use.make() is not use.make()
    assert use.make() == use.plugin == replace(use.plugin)


def test_a_plugin_in_a_file_is_sent_without_its_class(tmp_path):
    """Another process imports the file under a module of its own; what was hashed here is not hashed again there."""
    file = tmp_path / "mine.py"
    file.write_text("from unveil.attacks.gmi import GMI\nclass Mine(GMI):\n    'Mine.'\n")
    use = Use("attacks", Spec("mine.py:Mine"), str(tmp_path))
    asked = use.question
    text = pickle.dumps(use)
    assert use.modules[0].encode() not in text
    file.write_text("raise RuntimeError")
    assert pickle.loads(text).question == asked
