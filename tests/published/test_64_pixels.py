"""Every value of the published protocol at 64 pixels, against tables written by hand from the literature's own code.

GMI, KEDMI, LOMMA, PLG-MI, TL-DMI and BiDO: SGD at a constant rate, mirrored pictures, the last epoch. The tables say
all settings, those at their defaults too, so that no default can move a published value unseen.
"""

import tomllib

import pytest
import torch

from unveil.harness.plan import settings
from unveil.harness.plan.file import find
from unveil.harness.words.run import Run

PRESET = "published/celeba64"

DEFENSES = ["none", "tl_dmi", "mid", "bido", "ls", "tl_dmi+bido", "tl_dmi+mid"]
CONTROLS = ["random_latents", "held_out_private"]

SGD = {
    "optimiser": "sgd", "lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-4, "batch": 64, "epochs": 50,
    "schedule": "constant", "milestones": [], "gamma": 0.1, "warmup": 0.0, "flip": True, "shift": 0, "brightness": 0.0,
    "views": 0, "select": "last", "grad_clip": None, "balance": False,
}  # fmt: skip
PER_PERSON = {"batch": 64, "people": 16, "each": 4}
BIDO_RECIPE = {"optimiser": "adam", "lr": 1e-4, "weight_decay": 0.0, "epochs": 50, **PER_PERSON}
LS_RECIPE = {
    "optimiser": "adam", "lr": 1e-3, "weight_decay": 0.0, "batch": 128, "epochs": 100,
    "schedule": "step", "milestones": [75, 90], "gamma": 0.1,
}  # fmt: skip
EPOCHS = {"vgg16": 50, "ir152": 40, "facenet64": 50}
TL = {"vgg16": {"lr": 8e-2, "epochs": 200}, "ir152": {"epochs": 100}, "facenet64": {"lr": 8e-3, "epochs": 200}}
RECIPES = {  # by defense and target, where it is not SGD with the epochs above
    **{("tl_dmi", name): {**own, **({"batch": 8} if name == "facenet64" else {})} for name, own in TL.items()},
    **{("tl_dmi+mid", name): {**own, **({"batch": 8} if name == "facenet64" else {})} for name, own in TL.items()},
    **{("tl_dmi+bido", name): {**own, **PER_PERSON} for name, own in TL.items()},
    **{("mid", name): {"epochs": 50} for name in TL},
    **{("bido", name): {**BIDO_RECIPE, **({"epochs": 150} if name == "ir152" else {})} for name in TL},
    **{("ls", name): LS_RECIPE for name in TL},
}
FROZEN = {"freeze": "auto", "share": None}
TL64 = {
    "vgg16": {**FROZEN, "layer": 26, "stem": True, "statistics": False},
    "ir152": {**FROZEN, "layer": 46, "stem": False, "statistics": False},
    "facenet64": {**FROZEN, "layer": 5, "stem": False, "statistics": False},
}
CORRECTED = {name: {**one, "stem": True, "statistics": True} for name, one in TL64.items()}
HSIC = {"measure": "hsic", "lambda_x": 0.05, "lambda_y": 0.5, "sigma": 5.0, "stages": []}
BIDO64 = {
    "vgg16": {**HSIC, "stages": ["block1", "block2", "block3", "block4", "flat"]},
    "ir152": {**HSIC, "lambda_y": 2.0},
    "facenet64": HSIC,
}
MID64 = {"beta": 0.003, "size": None, "noise": "sample", "softmax": False}
STACKS64 = {
    "none": lambda target: [{}],
    "tl_dmi": lambda target: [TL64[target]],
    "mid": lambda target: [{**MID64, "softmax": target == "ir152"}],
    "bido": lambda target: [BIDO64[target]],
    "ls": lambda target: [{"alpha": -0.05, "schedule": "published"}],
    "tl_dmi+bido": lambda target: [
        CORRECTED[target],
        {**HSIC, "stages": ["block4", "flat"]} if target == "vgg16" else HSIC,
    ],
    "tl_dmi+mid": lambda target: [CORRECTED[target], MID64],
}
TRAINABLE = {  # as the literature counts, for 1,000 people
    ("vgg16", "none"): 16_776_232 - 2048,  # a shift of 2,048 numbers is counted, and never trains
    ("ir152", "none"): 62_599_848,
    ("facenet64", "none"): 35_437_224,
    ("vgg16", "tl_dmi"): 13_855_208,
    ("ir152", "tl_dmi"): 17_825_256 + 1_920,  # the stem, which a typo leaves out
    ("facenet64", "tl_dmi"): 34_391_912 + 1_920,
    ("ir152", "tl_dmi+mid"): 17_825_256 - 513_000 + 512 * 512 + 512 + 257_000,  # a code of 256 before the head
}
WGAN = {
    "start": "z100", "width": 64, "steps": 120 * 468, "batch": 64, "lr": 2e-4, "penalty": 10.0, "critic_steps": 5,
    "train_generator": True, "flip": False, "learn_from": None, "samples": 4000,
}  # fmt: skip
INVERSION = {
    "start": "z100", "width": 64, "steps": 120 * 468, "batch": 64, "lr": 2e-4, "generator_every": 5, "entropy": 1e-4,
    "train_generator": True, "flip": False, "coupled": True, "learn_from": None, "samples": 4000,
}  # fmt: skip
CONDITIONAL = {
    "top": 30, "width": 64, "steps": 30_000, "batch": 64, "lr": 2e-4, "critic_steps": 5, "margin": 0.2,
    "signed": True, "turned": 0.5, "learn_from": None, "samples": 4000,
}  # fmt: skip
GMI = {
    "restarts": 5, "steps": 2400, "lr": 0.02, "momentum": 0.9, "identity": "cross_entropy", "identity_weight": 100.0,
    "clip": 1.0, "batch_equivalent": 60, "batch": 300,
}  # fmt: skip
KEDMI = {
    "draws": 5, "steps": 2400, "lr": 0.02, "log_variance_init": 1.0, "clamp": False, "identity": "cross_entropy",
    "identity_weight": 100.0, "batch": 60,
}  # fmt: skip
PLGMI = {"restarts": 5, "steps": 600, "lr": 0.1, "identity": "max_margin", "batch": 150, "turned": 0.5}
LOMMA = {
    "variant": "both", "student_epochs": 20, "student_batch": 64, "student_lr": 0.01, "reference": 5050,
    "feature_weight": 1.0,
}  # fmt: skip
STUDENT = {"weights": "hub", "size": None, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
PRIORS64 = {"gmi": WGAN, "lomma gmi": WGAN, "random_latents": WGAN, "kedmi": INVERSION, "lomma kedmi": INVERSION}
GANS = {  # parameters of generator and critic, for 1,000 people
    "gmi": (5_142_083, 4_316_545),
    "kedmi": (5_142_083, 18_888_936),
    "plgmi": (17_973_379, 11_165_441),
}


def said(use):
    """All settings of a plugin."""
    return settings.dump(use.plugin)


def prior_of(cell):
    return cell.nodes["prior"].uses["prior"][0]


@pytest.mark.parametrize("target", EPOCHS)
@pytest.mark.parametrize("defense", DEFENSES)
def test_defenses_at_64_pixels(cells, target, defense):
    node = cells[PRESET][target, defense, "gmi"].nodes["target"]
    assert node.options["recipe"] == {
        **SGD,
        "epochs": EPOCHS[target],
        **RECIPES.get((defense, target), {}),
    }
    assert [said(use) for use in node.uses["defenses"]] == STACKS64[defense](target)
    assert [use.name for use in node.uses["defenses"]] == defense.split("+")


def test_targets_and_judge_at_64_pixels(cells):
    plain = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    asked = {t: cells[PRESET][t, "none", "gmi"].nodes["target"].uses["model"][0] for t in EPOCHS}
    assert {t: (use.spec.use, said(use)) for t, use in asked.items()} == {
        "vgg16": ("vgg16", {**plain, "weights": "hub", "size": 64, "norm": True}),
        "ir152": ("ir152", {**plain, "weights": "none"}),
        "facenet64": ("ir50_64", {**plain, "weights": "none"}),
    }
    named = {one.get("name", one["use"]): one["weights"] for one in tomllib.loads(find(PRESET)[0])["targets"]}
    assert named == {"vgg16": "hub", "ir152": "${UNVEIL_MS1M_IR152}", "facenet64": "none"}
    (judge,) = tomllib.loads(find(PRESET)[0])["evaluators"]
    assert judge == {
        "use": "ir50_112", "name": "facenet112", "weights": "${UNVEIL_MS1M_IR50}", "others": "none",
        "recipe": {"epochs": 30},
    }  # fmt: skip
    measures = cells[PRESET]["vgg16", "none", "gmi"].measures
    judges = {
        node.parents["evaluator"].identity: node.parents["evaluator"]
        for node in measures
        if "evaluator" in node.parents
    }
    (asked_judge,) = judges.values()
    assert asked_judge.options["recipe"] == {**SGD, "epochs": 30}
    assert asked_judge.options["others"] == "none"


@pytest.mark.parametrize(("target", "defense"), TRAINABLE)
def test_as_many_parameters_train_as_published(cells, target, defense):
    node = cells[PRESET][target, defense, "gmi"].nodes["target"]
    with torch.device("meta"):
        network = node.uses["model"][0].plugin.bare(1000)
        for use in node.uses["defenses"]:
            network = use.plugin.prepare(network, Run("t"))
    assert network.count()[1] == TRAINABLE[target, defense]


def test_attacks_at_64_pixels(cells):
    row = {attack: cell for (t, d, attack), cell in cells[PRESET].items() if (t, d) == ("ir152", "bido")}
    assert list(row) == ["gmi", "kedmi", "lomma gmi", "lomma kedmi", "plgmi", *CONTROLS]
    made = {name: said(cell.nodes["attack"].uses["attack"][0]) for name, cell in row.items()}
    held = {name: made[name].pop("base") for name in ("lomma gmi", "lomma kedmi")}
    students = {name: made[name].pop("students") for name in held}
    for one in made.values():
        one.pop("prior", None)
    expected = {"gmi": GMI, "kedmi": KEDMI, "lomma gmi": LOMMA, "lomma kedmi": LOMMA, "plgmi": PLGMI}
    assert made == expected | {"random_latents": {"samples": 5}, "held_out_private": {"samples": 5}}
    bases = {name: cell.nodes["attack"].uses["attack"][0].plugin.attack() for name, cell in row.items() if name in held}
    assert {name: held[name]["use"] for name in held} == {"lomma gmi": "gmi", "lomma kedmi": "kedmi"}
    run = {name: settings.dump(base) for name, base in bases.items()}
    for one in run.values():
        one.pop("prior")
    assert run == {"lomma gmi": GMI, "lomma kedmi": {**KEDMI, "clamp": True}}, "LOMMA clamps, KEDMI does not"
    for name, some in students.items():
        nets = [row[name].nodes[f"student {i}"].uses["model"][0] for i in range(3)]
        assert [said(one) for one in nets] == [{**STUDENT, "architecture": f"efficientnet_b{i}"} for i in range(3)]
        assert len(some) == 3
    assert {name: said(prior_of(row[name])) for name in PRIORS64} == PRIORS64
    assert said(prior_of(row["plgmi"])) == CONDITIONAL
    assert all(cell.nodes["attack"].options["resolution"] == 64 for cell in row.values())
    assert {cell.nodes["attack"].options["identities"] for cell in row.values()} == {300}
    assert {cell.nodes["attack"].options["attacked"] for cell in row.values()} == {"first"}


@pytest.mark.parametrize("attack", GANS)
def test_gans_have_as_many_parameters_as_published(cells, attack):
    generator = prior_of(cells[PRESET]["ir152", "none", attack]).plugin.build(1000, (3, 64, 64))
    sizes = [sum(p.numel() for p in part.parameters()) for part in (generator.network, generator.critic)]
    assert tuple(sizes) == GANS[attack]


def test_equal_gans_are_trained_once_and_those_that_ask_the_target_for_each(cells):
    rows = cells[PRESET].values()
    priors = {name: {cell.nodes["prior"].identity for cell in rows if cell.attack == name} for name in PRIORS64}
    assert priors["gmi"] == priors["lomma gmi"] == priors["random_latents"]
    assert len(priors["gmi"]) == 1
    assert priors["kedmi"] == priors["lomma kedmi"]
    assert len(priors["kedmi"]) == 3 * len(DEFENSES)
