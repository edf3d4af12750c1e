"""Every value of the published protocol at 224 pixels, against tables written by hand from the literature's own code.

PPA and IF-GMI: Adam, a step schedule, crops and colours, the last epoch; pixels in [-1, 1]. The tables say all
settings, those at their defaults too, so that no default can move a published value unseen.
"""

import dataclasses

import pytest

from unveil.harness.plan import settings
from unveil.harness.words.run import Run

FACESCRUB224, CELEBA224 = "published/facescrub224", "published/celeba224"
DEFENSES = ["none", "tl_dmi", "mid", "bido", "ls", "tl_dmi+bido", "tl_dmi+mid"]
CONTROLS = ["random_latents", "held_out_private"]
PER_PERSON = {"batch": 64, "people": 16, "each": 4}
HSIC = {"measure": "hsic", "lambda_x": 0.05, "lambda_y": 0.5, "sigma": 5.0, "stages": []}
PPA_RECIPE = {
    "optimiser": "adam", "lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, "batch": 128, "epochs": 100,
    "schedule": "step", "milestones": [75, 90], "gamma": 0.1, "warmup": 0.0, "flip": True, "shift": 0, "views": 0,
    "select": "last", "grad_clip": None, "balance": False, "crop": [0.85, 1.0], "brightness": 0.2, "contrast": 0.2,
    "saturation": 0.1, "hue": 0.1,
}  # fmt: skip
NETWORKS = {
    "resnet18": "resnet18.tv_in1k", "resnet101": "resnet101.tv_in1k", "resnet152": "resnet152.tv_in1k",
    "densenet121": "densenet121.tv_in1k", "maxvit": "maxvit_tiny_tf_224.in1k",
}  # fmt: skip
LAST_FROZEN = dict.fromkeys(("resnet18", "resnet101", "resnet152"), "layer3")
LAST_FROZEN |= {"densenet121": "transition3", "maxvit": "stage2"}
HALF = {"weights": "hub", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
MID224 = {"beta": 0.03, "size": None, "noise": "sample", "softmax": False}
STYLE = {"psi": 0.5, "cutoff": 8, "crop": None, "crop_scale": [0.9, 1.0], "lr": 0.005, "identity": "poincare"}
PPA = {
    **STYLE, "candidates": 200, "keep": 50, "milestones": [], "views": 100, "batch": 25, "shared_crop": True,
    "unclipped": True,
}  # fmt: skip
IF_GMI = {**STYLE, "candidates": 50, "batch": 5, "fresh_colours": True}
RADII = [1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 8000.0, 8000.0]
BUDGET = {  # PPA's pool and steps, IF-GMI's stages
    FACESCRUB224: (2000, 50, [50, 10, 10, 10, 10, 10, 10, 10]),
    CELEBA224: (5000, 70, [70, 25, 25, 25, 25]),
}


def said(use):
    """All settings of a plugin."""
    return settings.dump(use.plugin)


def prior_of(cell):
    return cell.nodes["prior"].uses["prior"][0]


def stack224(defense, target):
    """What the defenses are at 224 pixels."""
    frozen = {"freeze": LAST_FROZEN[target], "share": None, "layer": None, "stem": True}
    return {
        "none": [{}],
        "tl_dmi": [{**frozen, "statistics": False}],
        "mid": [MID224],
        "bido": [HSIC],
        "ls": [{"alpha": -0.05, "schedule": "published"}],
        "tl_dmi+bido": [{**frozen, "statistics": True}, HSIC],
        "tl_dmi+mid": [{**frozen, "statistics": True}, MID224],
    }[defense]


@pytest.mark.parametrize("name", BUDGET)
def test_targets_and_defenses_at_224_pixels(cells, name):
    for target, architecture in NETWORKS.items():
        for defense in DEFENSES:
            node = cells[name][target, defense, "ppa"].nodes["target"]
            assert said(node.uses["model"][0]) == {**HALF, "architecture": architecture, "size": 224}
            assert [said(use) for use in node.uses["defenses"]] == stack224(defense, target), (target, defense)
            own = PER_PERSON if "bido" in defense else {}
            assert node.options["recipe"] == {**PPA_RECIPE, **own}, (target, defense)


@pytest.mark.parametrize("name", BUDGET)
def test_judge_and_attacks_at_224_pixels(cells, name):
    row = {attack: cell for (t, d, attack), cell in cells[name].items() if (t, d) == ("resnet18", "none")}
    assert list(row) == ["ppa", "if_gmi", *CONTROLS]
    pool, steps, stages = BUDGET[name]
    made = {attack: said(row[attack].nodes["attack"].uses["attack"][0]) for attack in row}
    assert {key: value for key, value in made["ppa"].items() if key != "prior"} == {**PPA, "pool": pool, "steps": steps}
    own = {**IF_GMI, "pool": pool, "stages": stages, "radii": RADII[: len(stages)]}
    assert {key: value for key, value in made["if_gmi"].items() if key != "prior"} == own
    for attack in ("ppa", "if_gmi", "random_latents"):
        prior = said(prior_of(row[attack]))
        assert (prior["crop"], prior_of(row[attack]).name) == (800, "stylegan2_ada")
    for cell in row.values():
        options = cell.nodes["attack"].options
        assert (options["resolution"], options["identities"], "attacked" in options) == (299, 0, False)
    judged = next(node for node in row["ppa"].measures if "evaluator" in node.parents).parents["evaluator"]
    assert said(judged.uses["model"][0]) == {**HALF, "architecture": "inception_v3.tv_in1k", "size": 299}
    assert judged.options["recipe"] == {**PPA_RECIPE, "milestones": [80]}
    assert judged.options["others"] == "none"


@pytest.mark.parametrize(
    ("target", "people", "trainable"), [("resnet18", 1000, 8_906_728), ("resnet152", 530, 16_050_706)]
)
def test_as_many_parameters_train_at_224_pixels(cells, target, people, trainable):
    node = cells[FACESCRUB224][target, "tl_dmi", "ppa"].nodes["target"]
    model = dataclasses.replace(node.uses["model"][0].plugin, weights="none", size=64)
    network = node.uses["defenses"][0].plugin.prepare(model.build(people, (3, 64, 64), Run("t")), Run("t"))
    assert network.count()[1] == trainable
