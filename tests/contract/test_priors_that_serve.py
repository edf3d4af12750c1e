"""Whatever an attack refuses of a prior once it runs, a plan refuses before anything is trained, in the same words."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unveil.attacks.priors.style_critic import StyleCritic
from unveil.attacks.priors.style_layers import Layout
from unveil.attacks.priors.style_networks import StyleGAN2
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import plugins, settings
from unveil.harness.plan.file import read
from unveil.harness.running import served
from unveil.harness.running.matrix import expand
from unveil.harness.running.weightless import Weightless
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Attempt, Given, GivenModel, Images, Ingredients, Run, Spec, Surrogate, View
from unveil.harness.words.errors import PlanError, PluginError, UnveilError
from unveil.harness.words.needs import PRIOR, WrappedAttack, needs_of

SHAPE, PEOPLE = (3, 32, 32), 3
WITHOUT_ARITHMETIC = Weightless()  # which remembers what shapes come of what
STUDENT = {"use": "plain_cnn", "width": 4}
GMI = {"use": "gmi", "restarts": 1, "steps": 1}
PPA = {"use": "ppa", "pool": 4, "candidates": 2, "keep": 1, "steps": 1, "views": 1}
COARSE = {"starts": 2, "steps": 1, "founders": 1, "population": 2, "generations": 1}
# Each attack that searches a prior, in every way that makes it ask more of it.
ATTACKS = {
    "gmi": [GMI],
    "kedmi": [{"draws": 1, "steps": 1}],
    "plgmi": [{"restarts": 1, "steps": 1}],
    "lomma": [{"base": GMI, "students": [STUDENT]}, {"base": {"use": "plgmi", "steps": 1}, "variant": "logit"}],
    "random_latents": [{"samples": 1}],
    "brep_mi": [{"queries": 20, "first_queries": 8}],
    "ppa": [PPA, {**PPA, "unclipped": True}],
    "ppdg_mi": [
        {"base": GMI, "tune_steps": 1, "views": 1},
        {"base": PPA, "variant": "pw", "tune_steps": 1, "pivot_steps": 1, "views": 1},
        {"base": PPA, "variant": "ct", "tune_steps": 1, "pivot_steps": 1, "views": 1, "realism": 0.0},
        {"base": PPA, "variant": "mmd", "tune_steps": 0},
    ],
    "lokt": [
        {"models": [STUDENT], "restarts": 1, "steps": 1},
        {"judged_by": "discriminator", "restarts": 1, "steps": 1},
    ],
    "if_gmi": [{"pool": 4, "candidates": 1, "stages": [1, 1], "radii": []}],
    "align_mi": [{"base": GMI, "neighbours": 1}, {"base": {**PPA, "unclipped": True}, "neighbours": 1}],
    "query_averaging": [
        {"base": {"use": "rlb_mi", "samples": 1, "episodes": 2, "replay_batch": 2, "hidden": 4}, "neighbours": 2},
        {"base": {"use": "mirror", "presamples": 4, "population": 2, "generations": 1, "psi_in_synthesis": True}},
    ],
    "smile": [
        {"samples": 9, "trunk": STUDENT, "pretrained": False, "epochs": 1, "student_batch": 4, "queries": 4, "steps": 2}
    ],
    "rlb_mi": [{"samples": 1, "episodes": 2, "replay_batch": 2, "hidden": 4}],
    "c2f_mi": [{"embedder": STUDENT, "pretrained": False, "inverse_width": 4, "inverse_epochs": 1, **COARSE}],
    "vmi": [{"samples": 1, "steps": 1, "step_batch": 2, "flow_steps": 1, "flow_width": 4}],
    "mirror": [
        {"presamples": 8, "samples": 1, "population": 4, "generations": 1},
        {"presamples": 8, "samples": 1, "population": 4, "generations": 1, "psi_in_synthesis": True},
    ],
    "mirror_white_box": [
        {"presamples": 8, "restarts": 2, "samples": 1, "steps": 1, "views": 1},
        {"presamples": 8, "restarts": 2, "samples": 1, "steps": 1, "views": 1, "psi_in_synthesis": True},
    ],
}
WITHOUT = {"public_lookalikes", "pixel_adversarial", "held_out_private"}  # these search none
# Priors of every kind; those of the style files are made below.
PRIORS = {
    "wgan_gp": [{"width": 4}],
    "inversion_gan": [{"width": 4}],
    "conditional_gan": [{"width": 4}],
    "t_acgan": [{"width": 4}],
    "style_gan": [{"latent": 8, "mapping_layers": 2, "width": 4}],
    "mobile_style": [{"head": "learnt"}],
    "stylegan2_ada": ["whole", "without a critic", "cut"],
}
ONE_OF_EACH = {name: PRIORS[name] for name in ("wgan_gp", "t_acgan", "style_gan")} | {"stylegan2_ada": ["cut"]}


@pytest.fixture(scope="module")
def style_files(tmp_path_factory):
    """Converted StyleGAN2s, small and untrained: with a discriminator, without one, and cut."""
    sizes = {"resolution": 32, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 256, "channel_max": 8}
    with seeded(Run("style file")):
        parts = {"generator": StyleGAN2(Layout(**sizes)), "critic": StyleCritic(Layout(**sizes))}
    found, folder = {}, tmp_path_factory.mktemp("style")
    for name, some in (("whole", [*parts]), ("without a critic", ["generator"])):
        tensors = {f"{part}.{key}": value for part in some for key, value in parts[part].state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors", dict.fromkeys(some, json.dumps(sizes)))
        found[name] = {"file": str(folder / f"{name}.safetensors"), "trained_on": "random numbers"}
    return {**found, "cut": {**found["whole"], "crop": 24}}


def searching(name, given, prior):
    """The attack with that prior, which is a setting of its own or of its base."""
    if "base" in given:
        base = {"use": given["base"]["use"], **{k: v for k, v in given["base"].items() if k != "use"}}
        given = {**given, "base": {**base, "prior": prior.table()}}
    else:
        given = {**{k: v for k, v in given.items() if k != "use"}, "prior": prior.table()}
    return settings.make("attacks", Spec(name, given), Path())


def student():
    return SmallResNet(width=4).build(PEOPLE, SHAPE, Run("student")).eval().requires_grad_(False)


def ingredients(attack, prior):
    """What it needs, with that prior, none of it trained."""
    public = Images(torch.rand(9, *SHAPE), torch.full((9,), -1))
    found, models, attacks = [], {}, {}
    for role, need in needs_of(attack).items():
        if isinstance(need, Surrogate | GivenModel):
            models[role] = student()
            found += [models[role]] * isinstance(need, Surrogate)
        elif isinstance(need, WrappedAttack):
            base = settings.make("attacks", need.attack, Path())
            images = Images(torch.rand(4, *SHAPE), torch.tensor([0, 0, 1, 1]))
            attacks[role] = Attempt(base, images, {}, ingredients(base, prior))
    return Ingredients(prior, public, found, Given({PRIOR: prior}, models, {}, attacks))


def at_run(attack, prior):
    """How it is refused when it runs, which it does here without arithmetic."""
    with WITHOUT_ARITHMETIC, seeded(Run("untrained")):
        network = prior.build(PEOPLE, SHAPE).eval().requires_grad_(False)
        view = View(student(), attack.access, SHAPE)
        try:
            attack.reconstruct(view, ingredients(attack, network), torch.tensor([0, 1]), Run("test"))
        except UnveilError as error:
            return error
    return None


def compared(name, priors, style_files):
    """Tries an attack with priors both ways; says how often."""
    tried = 0
    for of, given in [(of, style_files.get(str(way), way)) for of, ways in priors.items() for way in ways]:
        prior = settings.make("priors", Spec(of, given), Path())
        for way in ATTACKS.get(name, ()):
            try:
                attack = searching(name, way, Spec(of, given))
            except PluginError:  # its settings alone say so, and a plan makes it first
                continue
            assert str(served.refusal(attack, prior, None)) == str(at_run(attack, prior)), (of, given, way)
            tried += 1
    return tried


@pytest.mark.parametrize("name", plugins.registered("attacks"))
def test_a_plan_refuses_what_an_attack_would(name, style_files):
    assert name in WITHOUT or compared(name, ONE_OF_EACH, style_files)


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_a_plan_refuses_what_an_attack_would_of_any_prior(name, style_files):
    assert set(PRIORS) == set(plugins.registered("priors"))
    assert compared(name, PRIORS, style_files) >= len(PRIORS) - 1


def test_some_are_refused_and_some_not(style_files):
    """Else the test above would show nothing."""
    wgan, cut = ({"use": "wgan_gp"}, {"use": "stylegan2_ada", **style_files["cut"]})
    pairs = [("if_gmi", wgan), ("gmi", cut), ("plgmi", wgan), ("gmi", wgan), ("if_gmi", cut), ("ppa", wgan)]
    made = [(settings.make("attacks", Spec(name), Path()), prior) for name, prior in pairs]
    plugs = [(a, settings.make("priors", Spec(p["use"], {k: p[k] for k in p if k != "use"}), Path())) for a, p in made]
    assert [served.refusal(*pair, None) is not None for pair in plugs] == [True, True, True, False, False, False]


PLAN = """
title = "Served"
defenses = [{ use = "none" }]
metrics = [{ use = "utility" }]
data = { use = "mnist", size = 16 }
target = { use = "small_resnet", width = 4 }
"""
OWN = """
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from torch import nn
from unveil.harness.types import Access, Generator, LocalSpec, Spec, TrainedPrior, UnveilError


class Plain(Generator):
    latent = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)


@dataclass(frozen=True)
class Prior:
    broken: bool = False
    access: ClassVar[Access | None] = None

    def build(self, classes, shape):
        if self.broken:
            raise RuntimeError("of another size only")
        return Plain()

    def fit(self, generator, public, view, run):
        Path(__file__).with_suffix(".trained").touch()
        return {}


@dataclass(frozen=True)
class Attack:
    prior: LocalSpec = field(default=Spec("wgan_gp"))
    access: ClassVar[Access] = Access.LABELS

    def needs(self):
        return {"prior": TrainedPrior(self.prior)}

    def require_prior(self, prior, shape):
        if not hasattr(prior, "tune"):
            raise UnveilError("it has no tune", "a prior that sings", "teach it")

    def reconstruct(self, view, ingredients, labels, run):
        raise NotImplementedError
"""
MINE = "prior = { use = 'own.py:Prior' }"


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("use = 'if_gmi', name = 'mine', prior = 'wgan_gp'", ["'mine'", "wgan_gp", "no features between blocks"]),
        ("use = 'align_mi', base = { use = 'if_gmi', prior = 'wgan_gp' }", ["'align_mi'", "no features between"]),
        ("use = 'ppdg_mi', base = { use = 'if_gmi', prior = 'wgan_gp' }", ["'ppdg_mi'", "no features between"]),
        (f"use = 'own.py:Attack', {MINE}", ["'Attack'", "'Prior'", "it has no tune", "a prior that sings", "teach it"]),
        (f"use = 'if_gmi', {MINE}", ["'if_gmi'", "Plain has no features between blocks"]),
        ("use = 'vmi', prior = 'style_gan', resolution = 50", ["'vmi'", "side 50"]),
    ],
)
def test_a_plan_names_its_part(attack, words, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "plan.toml").write_text(f"attacks = [{{ {attack} }}]\n{PLAN}")
    with pytest.raises(PlanError) as caught:
        expand(read(str(tmp_path / "plan.toml")))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "own.trained").exists()


def test_networks_that_cannot_be_built_for_a_guess_are_left_to_the_run(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    attack = f"use = 'if_gmi', {MINE.replace(' }', ', broken = true }')}"
    (tmp_path / "plan.toml").write_text(f"attacks = [{{ {attack} }}]\n{PLAN}")
    assert expand(read(str(tmp_path / "plan.toml"))).cells
