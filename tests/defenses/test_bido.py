from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unveil.defenses.bido import BiDO
from unveil.defenses.kernels import coco, gaussian, hsic, linear
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Images, Step, Terms
from unveil.harness.words.errors import PluginError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

RUN = Run("bido")
IMAGES = Images(torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3)
RECIPE = Recipe(epochs=2, batch=12, select="last", lr=0.01)


def net() -> Classifier:
    return SmallResNet(width=4).build(3, IMAGES.shape, RUN)


def step_of(classifier: Classifier, images: Images = IMAGES) -> Step:
    return Step(images.pixels, images.labels, classifier.run(images.pixels), classifier, 0, 2, RUN)


def terms_of(defense: BiDO, step: Step) -> Terms:
    return defense.loss({"ce": F.cross_entropy(step.forward.logits, step.y)}, step)


@pytest.mark.parametrize(("name", "measure"), [("hsic", hsic), ("coco", coco)])
def test_the_loss_is_the_publications(name: str, measure) -> None:
    step = step_of(net())
    terms = terms_of(BiDO(0.3, 0.7, name, ("stage2", "pool"), sigma=2.0), step)  # type: ignore[arg-type]
    x, y = gaussian(step.x.double(), 2.0), linear(F.one_hot(step.y, 3))
    z = [gaussian(step.forward.stages[stage].detach().double(), 2.0) for stage in ("stage2", "pool")]
    assert list(terms) == ["ce", "bido x", "bido y"]
    assert float(terms["bido x"].detach()) == pytest.approx(0.3 * sum(float(measure(x, k)) for k in z), rel=1e-3)
    assert float(terms["bido y"].detach()) == pytest.approx(-0.7 * sum(float(measure(k, y)) for k in z), rel=1e-3)


@pytest.mark.parametrize("measure", ["hsic", "coco"])
@pytest.mark.parametrize("term", ["bido x", "bido y"])
def test_both_measures_reach_every_stage_through_both_terms(measure, term: str) -> None:
    classifier = net()
    value = terms_of(BiDO(measure=measure), step_of(classifier))[term]
    assert float(value.detach()) != 0
    value.backward()
    for name in ("stem", "stage1", "stage2", "stage3", "stage4"):
        assert any(p.grad is not None and bool(p.grad.any()) for p in classifier.stages[name].parameters()), name


def test_the_measures_are_not_one_and_the_same() -> None:
    step = step_of(net())
    one, other = (terms_of(BiDO(measure=measure), step) for measure in ("hsic", "coco"))  # type: ignore[arg-type]
    assert float(one["bido x"].detach()) > 10 * float(other["bido x"].detach()) > 0


def test_strength_zero_computes_nothing() -> None:
    zero = BiDO(stages=("no such stage",)).at_zero()
    terms: Terms = {"ce": torch.zeros(())}
    assert zero.loss(terms, None) is terms  # type: ignore[arg-type]
    assert zero.watch(None) == {}  # type: ignore[arg-type]
    classifier = net()
    assert zero.prepare(classifier, RUN) is classifier


@pytest.mark.parametrize("measure", ["hsic", "coco"])
def test_what_is_recorded_is_not_zero_and_moves(measure) -> None:
    curves = fit(net(), (BiDO(measure=measure),), IMAGES, IMAGES, RECIPE, RUN).curves
    for name in ("loss/bido x", "loss/bido y"):
        assert 0 not in curves[name]
        assert curves[name][0] != curves[name][1]
    assert ("BiDO/directions of x" in curves) == (measure == "hsic")
    if measure == "hsic":
        assert all(1 < value < 11 for value in curves["BiDO/directions of x"])  # 12 pictures a batch


def chain(*names: str) -> Classifier:
    return Classifier({name: nn.Linear(2, 2) for name in names}, nn.Linear(2, 3), classes=3)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ("stem layer1 layer2 layer3 layer4 pool", "layer1 layer2 layer3 layer4 pool"),
        ("stem stage0 stage1 stage2 stage3 pool", "stage0 stage1 stage2 stage3 pool"),
        ("block1 block2 block3 block4 block5 pre_logits pool", "block1 block2 block4 block5 pool"),
        (
            "stem block0 block1 block2 block3 block4 block5 block6 conv_head pool",
            "block0 block2 block4 block6 pool",
        ),
        ("embed " + " ".join(f"block{i}" for i in range(12)) + " pool", "block0 block3 block6 block9 pool"),
        ("block1 block2 block3 block4 block5 flat", "block1 block2 block3 block4 flat"),  # vgg16, as published
        ("stem stage1 stage2 stage3 stage4 output", "stage1 stage2 stage3 stage4 output"),  # the IR networks
        ("body", "body"),
    ],
)
def test_default_stages(names: str, chosen: str) -> None:
    assert " ".join(BiDO()._chosen(chain(*names.split()))) == chosen


def test_only_stages_with_a_gradient_count() -> None:
    names = ("stem", *(f"block{i}" for i in range(7)), "pool")
    frozen = TLDMI("block3").prepare(chain(*names), RUN)
    assert tuple(BiDO()._chosen(frozen)) == ("block4", "block5", "block6", "pool")
    drifting = TLDMI("block3", statistics=False).prepare(chain(*names), RUN)
    assert tuple(BiDO()._chosen(drifting)) == ("block4", "block5", "block6", "pool")
    reached = TLDMI(("block2",)).prepare(chain(*names), RUN)  # the stem trains, so block2's output moves
    assert tuple(BiDO(stages=("block2",))._chosen(reached)) == ("block2",)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_stack_with_a_frozen_prefix(swapped: bool) -> None:
    stack = (BiDO(), TLDMI("stage2")) if swapped else (TLDMI("stage2"), BiDO())
    classifier = net()
    for defense in stack:
        classifier = defense.prepare(classifier, RUN)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    curves = fit(classifier, stack, IMAGES, IMAGES, RECIPE, RUN).curves
    assert 0 not in curves["loss/bido x"]
    for name, value in classifier.state_dict().items():
        frozen = name.startswith(("stages.stem.", "stages.stage1.", "stages.stage2."))
        assert torch.equal(value, before[name]) == frozen, name


def test_mistakes_are_explained() -> None:
    with pytest.raises(PluginError, match=r"'layer9'(.|\n)*stem, stage1, stage2"):
        BiDO(stages=("stage1", "layer9")).prepare(net(), RUN)
    frozen = TLDMI("stage2").prepare(net(), RUN)
    with pytest.raises(PluginError, match=r"stage1, stage2: frozen(.|\n)*stage3, stage4, pool"):
        BiDO(stages=("stage1", "stage2", "pool")).prepare(frozen, RUN)
    with pytest.raises(PluginError, match="pool: frozen"):
        BiDO().prepare(TLDMI("pool").prepare(net(), RUN), RUN)
    late = BiDO(stages=("stage1",))  # frozen only after bido looked
    classifier = TLDMI("stage1").prepare(late.prepare(net(), RUN), RUN)
    with pytest.raises(PluginError, match="stage1: frozen"):
        fit(classifier, (late,), IMAGES, IMAGES, RECIPE, RUN)
    with pytest.raises(PluginError, match="twice"):
        fit(net(), (BiDO(), BiDO(0.1)), IMAGES, IMAGES, RECIPE, RUN)


@pytest.mark.parametrize(
    ("name", "freeze", "side"),
    [
        ("resnet10t", "layer2", 32),
        ("tf_efficientnet_lite0", "block5", 32),
        ("vit_tiny_patch16_224", "block9", 32),
        ("convnext_atto", "stage1", 32),
    ],
)
def test_families_of_timm_under_a_frozen_prefix(name: str, freeze: str, side: int) -> None:
    images = Images(F.interpolate(IMAGES.pixels[:8], (side, side)), IMAGES.labels[:8])
    stack = (TLDMI(freeze), BiDO())
    classifier = Timm(name).build(3, images.shape, RUN)
    for defense in stack:
        classifier = defense.prepare(classifier, RUN)
    frozen = {n: p.detach().clone() for n, p in classifier.named_parameters() if not p.requires_grad}
    curves = fit(classifier, stack, images, images, dataclasses.replace(RECIPE, epochs=1, batch=4), RUN).curves
    assert curves["loss/bido x"][0] > 0 > curves["loss/bido y"][0]
    assert frozen
    assert all(torch.equal(p, frozen[n]) for n, p in classifier.named_parameters() if n in frozen)
