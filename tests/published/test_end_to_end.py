"""The published presets from pictures to page, one target at a time, with true networks and the least of everything.

Where a rehearsal cannot cut, the plan is set: weights that would have to be fetched are none, batches by people have as
many people as there are, networks for 224 and 299 pixels look at fewer, GANs that are trained for each target are
narrow, and LOMMA has one student. The generator draws its 1024.
"""

import json

import pytest

from unveil.harness.audit import run
from unveil.harness.plan.file import find
from unveil.harness.plan.text import tables

SCALE = 1e-6  # one step, one epoch, one picture
CELEBA64, FACESCRUB224, CELEBA224 = "published/celeba64", "published/facescrub224", "published/celeba224"
STUDENT = [{"use": "timm", "architecture": "efficientnet_b0", "mean": [0.0] * 3, "std": [1.0] * 3}]
NARROW = {
    f"attacks.{place}.width": 8
    for place in ("kedmi.prior", "lomma kedmi.base.prior", "plgmi.prior")  # of which each target has its own
}
SIDES = {"evaluators.inception_v3.size": 96} | {
    f"attacks.{name}.resolution": 64 for name in ("ppa", "if_gmi", "random_latents", "held_out_private")
}
SET = {
    CELEBA64: {"attacks.lomma gmi.students": STUDENT, "attacks.lomma kedmi.students": STUDENT, **NARROW},
    FACESCRUB224: {"data.size": 96, "attacks.if_gmi.stages": [1, 0, 0, 0, 0, 0, 0, 1], **SIDES}
    | {
        f"defenses.{name}.recipe.{key}": value
        for name in ("bido", "tl_dmi+bido")
        for key, value in (("people", 4), ("batch", 16))
    },
    CELEBA224: {"attacks.if_gmi.stages": [1, 0, 0, 0, 1], **SIDES},
}
RUNS = [  # targets, and the attacks that meet them: all, and where others have met all of them, one
    (CELEBA64, "vgg16", ()),
    (CELEBA64, "ir152", ("gmi",)),
    (CELEBA64, "facenet64", ("gmi",)),
    (FACESCRUB224, "resnet18", ()),
    (CELEBA224, "densenet121", ()),
]


def of_target(name, target, attacks):
    """A preset with one of its targets, and some of its attacks or all."""
    plan = tables(find(name)[0], name)
    known = [one.get("name", one["use"]) for one in plan["targets"]]
    plan["targets"] = [plan["targets"][known.index(target)]]
    for defense in plan["defenses"]:
        defense["on"] = {key: one for key, one in defense.get("on", {}).items() if key == target}
    if attacks:
        plan["attacks"] = [one for one in plan["attacks"] if one["use"] in attacks]
    met = {one.get("name", one["use"]) for one in plan["attacks"]}
    plan["published"] = [one for one in plan["published"] if one["target"] == target and one["attack"] in met]
    return plan


@pytest.fixture(scope="session")
def environment(published_trees, around, tmp_path_factory):
    """Where made trees and backbones are."""
    return {**around, **published_trees.backbones(tmp_path_factory.mktemp("backbones"))}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target", "attacks"), RUNS)
def test_from_pictures_to_page(name, target, attacks, environment, tmp_path, monkeypatch):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    plan = of_target(name, target, attacks)
    given = {"scale": SCALE, **({} if attacks else SET[name])}
    if plan["targets"][0]["weights"] == "hub":
        given[f"targets.{target}.weights"] = "none"
    if name != CELEBA64:
        given[f"targets.{target}.size"] = 64
    if plan["evaluators"][0]["weights"] == "hub":
        given["evaluators.inception_v3.weights"] = "none"
    settings = [f"{key}={_toml(value)}" for key, value in given.items()]
    results = run(plan, tmp_path / "store", settings=settings, device="cpu", isolated=False, threads=1)
    assert [(row.defense, row.attack, row.error) for row in results.rows if row.status != "done"] == []
    assert len(results.rows) == len(plan["defenses"]) * len(plan["attacks"])
    assert (results.scale, results.reproduced, len(results.published)) == (SCALE, False, len(plan["published"]))
    for row in results.rows:
        figures = {figure.metric: figure for figure in row.figures}
        assert {one["use"] for one in plan["metrics"]} <= figures.keys()
        accuracy = next(figure for figure in row.figures if figure.metric == "attack_accuracy")
        assert accuracy.value is not None
        assert "rehearsal" in " ".join(row.notes)
        if name == CELEBA64:
            assert list(accuracy.per_identity) == ["0"], "the first, not one that was drawn"


def _toml(value):
    """A value as a command line has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(_toml, value)) + "]" if isinstance(value, list) else json.dumps(value)
