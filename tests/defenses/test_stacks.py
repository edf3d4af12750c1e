"""Every defense alone and behind frozen stages, on several families: frozen is frozen, and checkpoints come back."""

from __future__ import annotations

import pytest
import torch

from unveil.defenses.ls import LS
from unveil.defenses.mid import MID
from unveil.defenses.rounded_scores import RoundedScores
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Defense, Images, Model
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

IMAGES = Images(torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4)
RECIPE = Recipe(epochs=2, batch=4, select="last", schedule="constant", warmup=0.0, views=1)
MODELS: dict[str, Model] = {
    "small_resnet": SmallResNet(width=4),
    "resnet": Timm("resnet10t"),
    "efficientnet": Timm("test_efficientnet"),
    "convnext": Timm("test_convnext"),
    "vit": Timm("vit_tiny_patch16_224"),
}
FIRST = {"convnext": "stage0", "vit": "block0", "efficientnet": "block0", "resnet": "layer1", "small_resnet": "stage1"}
STACKS: dict[str, tuple[Defense, ...]] = {
    "mid": (MID(beta=0.1),),
    "ls": (LS(-0.1),),
    "rounded_scores": (RoundedScores(decimals=1),),
    "mid+ls+rounded_scores": (MID(beta=0.1), LS(-0.1), RoundedScores(decimals=1)),
}


def _prepared(model: Model, stack: tuple[Defense, ...], run: Run) -> Classifier:
    net = model.build(4, IMAGES.shape, Run("initial"))
    for defense in stack:
        net = defense.prepare(net, run)
    return net


def _finished(net: Classifier, stack: tuple[Defense, ...]) -> torch.Tensor:
    for defense in stack:
        net = defense.finish(net, Run("finish"))
    with torch.no_grad():
        return net.eval().logits(IMAGES.pixels)


SMALL = [("small_resnet", name, frozen) for name in STACKS for frozen in (False, True)]
LARGE = [(family, "mid+ls+rounded_scores", True) for family in MODELS if family != "small_resnet"]


@pytest.mark.parametrize(("family", "name", "frozen"), SMALL + LARGE)
def test_it_trains_and_comes_back(family: str, name: str, frozen: bool) -> None:
    model, stack = MODELS[family], ((TLDMI(FIRST[family]),) if frozen else ()) + STACKS[name]
    net = _prepared(model, stack, Run("train"))
    trains = {key for key, parameter in net.named_parameters() if parameter.requires_grad}
    still = tuple(f"stages.{stage}." for stage in net.stage_names[: net.frozen_depth])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    history = fit(net, stack, IMAGES, IMAGES, RECIPE, Run("train"))
    state = net.state_dict()
    assert bool(still) == frozen
    for key, value in state.items():
        if key.startswith(still or ("none",)):
            assert torch.equal(value, before[key]), key
        elif key in trains and value.numel() > 1:
            assert not torch.equal(value, before[key]), key
    if "mid" in name:
        assert history.curves["loss/kl"][0] != history.curves["loss/kl"][1] > 0
    if "ls" in name:
        assert history.curves["LS/alpha"] == pytest.approx([0, -0.1])
    fresh = _prepared(model, stack, Run("somebody else's"))
    fresh.load_state_dict({key: value.clone() for key, value in state.items()})
    found, wanted = _finished(fresh, stack), _finished(net, stack)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
