"""Attacks in mixed precision on a CPU: frozen networks are folded, in descent and nowhere else."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from unveil.attacks.align_mi import AlignMI
from unveil.attacks.frozen import prior_of
from unveil.attacks.gmi import GMI
from unveil.attacks.lokt import LOKT
from unveil.attacks.lomma import LOMMA
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.ppa import PPA
from unveil.attacks.ppdg_mi import PPDGMI
from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.attacks.priors.t_acgan import TACGAN
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.harness.conformance.folding import stirred
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training import probe
from unveil.harness.types import Given, Images, Ingredients, Spec, View
from unveil.harness.words import folding
from unveil.harness.words.needs import needs_of
from unveil.harness.words.run import Run

SHAPE, LABELS = (3, 16, 16), torch.tensor([0, 2])
STUDENTS = (Spec("small_resnet", {"width": 4}), Spec("small_resnet", {"width": 8}))
SHORT: dict[str, Any] = {"restarts": 2, "steps": 4}
BASE: Any = GMI(restarts=3, steps=4)
PRIORS = {"wgan_gp": WGANGP(width=4), "conditional_gan": ConditionalGAN(width=4), "t_acgan": TACGAN(width=4)}
NAMED = {"Classifier": "network", "CriticGAN": "prior", "ProjectionGAN": "prior", "LabelledGAN": "prior"}
ATTACKS: dict[str, tuple[Any, list[str]]] = {
    "gmi": (GMI(**SHORT), ["network", "prior"]),
    "lomma": (LOMMA(Spec("gmi", SHORT), students=STUDENTS, reference=2), ["network"] * 3 + ["prior"]),
    "plgmi": (PLGMI(**SHORT), ["network", "prior"]),
    "lokt": (LOKT(models=STUDENTS, **SHORT), ["network"] * 2 + ["prior"]),
    "align_mi": (AlignMI(Spec("gmi", SHORT), neighbours=2), ["network", "prior"]),
    "ppa": (PPA(Spec("wgan_gp"), 4, candidates=2, keep=2, steps=4), ["network"]),  # draws in float32
    "ppdg_mi": (PPDGMI(Spec("gmi", {**SHORT, "restarts": 3}), views=2, tune_steps=2), ["network", "prior", "prior"]),
}


def network(seed: int) -> Any:
    return stirred(SmallResNet(width=4).build(3, SHAPE, Run(f"network {seed}")))


@pytest.fixture
def given(worlds: ModuleType) -> Any:
    """What an attack is given."""

    def made(attack: Any) -> Ingredients:
        prior = stirred(PRIORS[needs_of(attack)["prior"].prior.use].build(3, SHAPE))  # type: ignore[union-attr]
        public = Images(torch.rand(20, *SHAPE, generator=torch.Generator().manual_seed(1)), torch.full((20,), -1))
        alone = Ingredients(prior, public, (network(1), network(2)))
        if not isinstance(attack, PPDGMI):
            return alone
        before = worlds.attempted(BASE, network(0), alone, LABELS)
        return Ingredients(prior, public, given=Given(priors={"prior": prior}, attacks={"base": before}))

    return made


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """What folded copies were made of, each once: every kind of pass tries its copy out."""
    made: list[nn.Module] = []
    whole = folding.folded

    def noted(net: Any, *rest: Any) -> Any:
        if not any(net is one for one in made):
            made.append(net)
        return whole(net, *rest)

    monkeypatch.setattr(folding, "folded", noted)
    return made


@pytest.mark.parametrize("name", ATTACKS)
def test_frozen_networks_are_folded_in_bfloat16_alone(name: str, given: Any, copies: list[nn.Module]) -> None:
    attack, expected = ATTACKS[name]
    had, target, found = given(attack), network(0), {}
    weights = {key: value.clone() for key, value in had.prior.state_dict().items()}
    for mixed in (False, True):
        view, run = View(target, attack.access, SHAPE), Run("test", mixed_precision=mixed)
        images = attack.reconstruct(view, had, LABELS, run)
        found[mixed] = (images.pixels, images.labels.tolist(), view.spent)
        assert sorted(NAMED[type(one).__name__] for one in copies) == (expected if mixed else [])
    assert found[True][1:] == found[False][1:]
    assert 0 < (found[True][0] - found[False][0]).abs().mean() < 0.02
    assert all(torch.equal(value, weights[key]) for key, value in had.prior.state_dict().items())
    assert (had.prior in copies) == ("prior" in expected and name != "ppdg_mi")  # of that, it folds its own copies


def test_pictures_are_drawn_by_the_prior_itself(given: Any) -> None:
    """Whatever they were found with, what is returned is what its latents look like."""
    attack = ATTACKS["gmi"][0]
    had, run = given(attack), Run("test", mixed_precision=True)
    images = attack.reconstruct(View(network(0), attack.access, SHAPE), had, LABELS, run)
    assert torch.equal(images.pixels, had.prior.synthesize(run.kept["latents"]).clamp(0, 1))
    assert prior_of(had, Run("test")) is had.prior


def test_a_trial_times_what_would_run(given: Any, copies: list[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    attack = ATTACKS["gmi"][0]
    had, target = given(attack), network(0)
    shown: list[tuple[bool, int]] = []

    def timed(trial: probe.Trial) -> float:
        for mixed in (False, True):
            with Run("probe", mixed_precision=mixed).autocast():
                trial()
            shown.append((mixed, len(copies)))
        return 1.0

    monkeypatch.setattr(probe, "gain", timed)
    probe.gain_in_attack(Run("r"), probe.Descended.by(attack, [target, *had.surrogates], had.prior, SHAPE), 4)
    assert shown == [(False, 0), (True, 4)]
