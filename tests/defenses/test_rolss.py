from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.defenses.bido import BiDO
from unveil.defenses.rolss import RoLSS
from unveil.defenses.shortcuts import Removed, Scaled, ScaledAttention, ScaledDense, blocks
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.ir import IR50At64
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.training.fit import History, fit
from unveil.harness.types import Classifier, Defense, Images, Model
from unveil.harness.words.errors import PluginError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Progress, Run

RUN = Run("rolss")
IMAGES = Images(torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3)
RECIPE = Recipe(epochs=2, batch=12, select="last", lr=0.01)
SMALL, BASIC, BOTTLENECK = SmallResNet(width=4, blocks=(1, 1, 2)), Timm("resnet10t"), Timm("resnet26t")
LAST = {SMALL: "stage3", BASIC: "layer4", BOTTLENECK: "layer4"}
DEEP = [SMALL, pytest.param(BOTTLENECK, id="Bottleneck")]
ALL = [SMALL, pytest.param(BASIC, id="BasicBlock"), pytest.param(BOTTLENECK, id="Bottleneck")]


def net(model: Model = SMALL) -> Classifier:
    return model.build(3, IMAGES.shape, RUN).eval()


def tilted(classifier: Classifier) -> Classifier:
    """Batch norms that let something through, which timm's last ones do not at first."""
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 0.9)
    return classifier


@torch.no_grad()
def by_hand(block: Any, x: Tensor, scale: float) -> Tensor:
    """The block with scale times its shortcut, from the parts of the undefended one."""
    if hasattr(block, "body"):
        return torch.relu(block.body(x) + scale * block.shortcut(x[:, :, :: block.stride, :: block.stride]))
    h = block.act1(block.bn1(block.conv1(x)))
    h = block.bn2(block.conv2(h))
    if hasattr(block, "conv3"):
        h = block.bn3(block.conv3(block.act2(h)))
    return torch.relu(h + scale * (x if block.downsample is None else block.downsample(x)))


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("scale", [0.0, 0.2])
def test_body_plus_scaled_shortcut_in_the_last_stage_only(model: Model, scale: float) -> None:
    plain, defended = tilted(net(model)), RoLSS(scale).prepare(tilted(net(model)), RUN)
    last = LAST[model]  # type: ignore[index]
    depth = plain.stage_names.index(last)
    with torch.no_grad():
        h = plain.prefix(IMAGES.pixels, depth)
        assert torch.equal(defended.prefix(IMAGES.pixels, depth), h)
        expected = h
        for block in plain.stages[last]:  # type: ignore[attr-defined]
            expected = by_hand(block, expected, scale)
        torch.testing.assert_close(defended.stages[last](h), expected)
        assert not torch.allclose(plain.stages[last](h), expected)


@pytest.mark.parametrize("model", DEEP)
def test_identity_shortcuts_go_too_and_none_is_run(model: Model) -> None:
    assert sum(isinstance(m, Removed) for m in RoLSS().prepare(net(model), RUN).modules()) == 2
    assert sum(isinstance(m, Scaled) for m in RoLSS(0.2).prepare(net(model), RUN).modules()) == 2


class ShortIR(IR50At64):
    units = (1, 1, 2, 2)


VIT, DENSE, MAXVIT = Timm("vit_tiny_patch16_224"), Timm("densenet121"), Timm("maxvit_pico_rw_256", size=32)
FAMILIES = [pytest.param(VIT, id="ViT"), pytest.param(DENSE, id="DenseNet"), pytest.param(ShortIR(), id="IR")]


def stage_by_hand(name: str, stage: Any, h: Tensor, scale: float) -> Tensor:
    """The last stage with scaled shortcuts, from the parts of the undefended one."""
    if name == "block11":
        h = scale * h + stage.attn(stage.norm1(h))
        return scale * h + stage.mlp(stage.norm2(h))
    if name == "stage4":
        for unit in stage:
            h = unit.res_layer(h) + scale * unit.shortcut_layer(h)
        return h
    skipped, newest = h[:, :0], h
    for layer in stage.values():
        seen = torch.cat([scale * skipped, newest], 1)
        out = layer.conv2(layer.norm2(layer.conv1(layer.norm1(seen))))
        skipped, newest = torch.cat([skipped, newest], 1), out
    return torch.cat([scale * skipped, newest], 1)


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("scale", [0.0, 0.2])
def test_families_lose_what_skips_the_layers_of_their_last_stage(model: Model, scale: float) -> None:
    plain, defended = net(model), RoLSS(scale).prepare(net(model), RUN)
    last = next(name for name in reversed(plain.stage_names) if list(blocks(plain.stages, name)))
    kept = [name for name in plain.state_dict() if "shortcut" not in name or last not in name or scale]
    assert sorted(kept) == sorted(defended.state_dict())
    with torch.no_grad():
        h = plain.prefix(IMAGES.pixels[:4], plain.stage_names.index(last))
        expected = stage_by_hand(last, plain.stages[last], h, scale)
        torch.testing.assert_close(defended.stages[last](h), expected)
        assert not torch.allclose(plain.stages[last](h), expected)
        two = RoLSS(scale, keep_epochs=1)
        later = two.prepare(net(model), RUN)
        two.begin(later, 0, 2)
        assert torch.equal(later.stages[last](h), plain.stages[last](h))
        two.begin(later, 1, 2)
        torch.testing.assert_close(later.stages[last](h), expected)


def test_a_maxvit_loses_those_of_convolutions_windows_and_grids_and_learns() -> None:
    classifier = RoLSS().prepare(net(MAXVIT), RUN).train()
    inside = [type(module) for module in classifier.stages["stage3"].modules()]
    assert (inside.count(Removed), inside.count(ScaledAttention)) == (2, 4)
    assert not any(isinstance(m, Removed | ScaledAttention) for m in classifier.stages["stage2"].modules())
    F.cross_entropy(classifier.logits(IMAGES.pixels[:4]), IMAGES.labels[:4]).backward()
    assert all(p.grad is not None for p in classifier.stages["stage3"].parameters())


def test_a_share_of_the_stage_before_goes_too() -> None:
    def gone(before: float) -> list[str]:
        modules = RoLSS(before=before).prepare(net(ShortIR()), RUN).stages.named_modules()
        return [name for name, module in modules if isinstance(module, Removed)]

    last = ["stage4.4.shortcut_layer", "stage4.5.shortcut_layer"]
    assert gone(0.0) == last
    assert gone(0.4) == gone(0.5) == ["stage3.3.shortcut_layer", *last]  # the later of two
    assert gone(1.0) == ["stage3.2.shortcut_layer", "stage3.3.shortcut_layer", *last]
    with pytest.raises(PluginError, match="'stage3', which is frozen"):
        RoLSS(before=0.5).prepare(TLDMI("stage3").prepare(net(ShortIR()), RUN), RUN)
    dense = RoLSS(before=0.1).prepare(net(DENSE), RUN)
    assert isinstance(dense.stages["denseblock3"], ScaledDense)


@pytest.mark.parametrize("model", ALL)
def test_parameters_keep_their_names(model: Model) -> None:
    plain = net(model).state_dict()
    scaled, removed = RoLSS(0.2).prepare(net(model), RUN), RoLSS().prepare(net(model), RUN)
    scaled.load_state_dict(plain)  # strict
    gone = set(plain) - set(removed.state_dict())
    assert gone
    assert gone == {
        name for name in plain if f".{LAST[model]}." in f".{name}" and ("shortcut" in name or "downsample" in name)
    }  # type: ignore[index]
    assert set(removed.state_dict()) < set(plain)


@pytest.mark.parametrize("model", ALL)
def test_a_stage_that_starts_as_the_identity_learns_without_it(model: Model) -> None:
    classifier = RoLSS().prepare(net(model), RUN).train()
    F.cross_entropy(classifier.logits(IMAGES.pixels), IMAGES.labels).backward()
    for name, parameter in classifier.stages[LAST[model]].named_parameters():  # type: ignore[index]
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name


def test_weights_that_were_loaded_stay() -> None:
    classifier = tilted(net(BASIC))
    before = classifier.state_dict()
    after = RoLSS().prepare(classifier, RUN).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after)


@pytest.mark.parametrize("model", [SMALL, BASIC])
def test_strength_zero_touches_nothing(model: Model) -> None:
    zero, classifier = RoLSS(0.2).at_zero(), net(model)
    modules = list(classifier.modules())
    assert all(a is b for a, b in zip(zero.prepare(classifier, RUN).modules(), modules, strict=True))


STACKS: list[tuple[Defense, ...]] = [
    (TLDMI("layer2"), RoLSS()),
    (RoLSS(0.2), TLDMI("layer2")),
    (TLDMI("layer2"), RoLSS(), BiDO()),
    (BiDO(), RoLSS(), TLDMI("layer2")),
]


def prepared(model: Model, stack: tuple[Defense, ...]) -> Classifier:
    classifier = net(model)
    for defense in stack:
        classifier = defense.prepare(classifier, RUN)
    return classifier


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: "+".join(type(d).__name__ for d in stack))
@pytest.mark.parametrize("model", [SMALL, pytest.param(BASIC, id="resnet10t")])
def test_stacks_train_and_load(model: Model, stack: tuple[Defense, ...]) -> None:
    if model is SMALL:
        stack = tuple(dataclasses.replace(d, freeze="stage1") if isinstance(d, TLDMI) else d for d in stack)
    classifier = prepared(model, stack)
    frozen = {name: p.detach().clone() for name, p in classifier.named_parameters() if not p.requires_grad}
    before = {name: p.detach().clone() for name, p in classifier.named_parameters() if p.requires_grad}
    curves = fit(classifier, stack, IMAGES, IMAGES, dataclasses.replace(RECIPE, epochs=1), RUN).curves
    state = classifier.state_dict()
    assert frozen
    assert all(torch.equal(state[name], value) for name, value in frozen.items())
    assert not any(torch.equal(state[name], value) for name, value in before.items())
    assert ("loss/bido x" in curves) == any(isinstance(d, BiDO) for d in stack)
    again = prepared(model, stack)
    again.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(again.eval().logits(IMAGES.pixels), classifier.logits(IMAGES.pixels))


CONSTANT = dataclasses.replace(RECIPE, epochs=3, schedule="constant", warmup=0.0)


def two_stages(model: Model, scale: float, run: Run = RUN) -> tuple[Classifier, History]:
    stack = (RoLSS(scale, keep_epochs=1),)
    classifier = prepared(model, stack)
    return classifier, fit(classifier, stack, IMAGES, IMAGES, CONSTANT, run)


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("scale", [0.0, 0.2])
def test_in_two_stages_the_shortcuts_are_there_and_then_not(model: Model, scale: float) -> None:
    plain, two = tilted(net(model)), RoLSS(scale, keep_epochs=2)
    now, later = RoLSS(scale).prepare(tilted(net(model)), RUN), two.prepare(tilted(net(model)), RUN)
    assert later.state_dict().keys() == plain.state_dict().keys()
    with torch.no_grad():
        for epoch, wanted in ((None, now), (0, plain), (1, plain), (2, now), (1, plain)):
            if epoch is not None:
                two.begin(later, epoch, 3)
            assert torch.equal(later.logits(IMAGES.pixels), wanted.logits(IMAGES.pixels)), epoch
    assert [two.selectable(epoch, 4) for epoch in range(4)] == [False, False, True, True]


@pytest.mark.parametrize("model", [SMALL, pytest.param(BASIC, id="resnet10t")])
def test_training_in_two_stages(model: Model) -> None:
    first, losses = net(model), {}
    losses["plain"] = fit(first, (), IMAGES, IMAGES, dataclasses.replace(CONSTANT, epochs=1), RUN).curves["loss"]
    last, history = two_stages(model, 0.0)
    assert history.curves["loss"][0] == losses["plain"][0]
    shortcuts = [n for n in first.state_dict() if LAST[model] in n and ("shortcut" in n or "downsample" in n)]  # type: ignore[index]
    assert shortcuts
    for name, value in first.state_dict().items():  # once gone, they learn no more, not even their batch norms
        assert torch.equal(value, last.state_dict()[name]) == (name in shortcuts), name
    again = prepared(model, (RoLSS(keep_epochs=1),))
    again.load_state_dict(last.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval().logits(IMAGES.pixels), last.logits(IMAGES.pixels))


@pytest.mark.parametrize("steps", [3, 5])
def test_two_stages_go_on_where_they_were_interrupted(
    steps: int, tmp_path: Path, interrupted: Callable[[int], Progress]
) -> None:
    whole, history = two_stages(SMALL, 0.2)
    with pytest.raises(KeyboardInterrupt):
        two_stages(SMALL, 0.2, dataclasses.replace(RUN, scratch=tmp_path, shown=interrupted(steps)))
    resumed, other = two_stages(SMALL, 0.2, dataclasses.replace(RUN, scratch=tmp_path))
    assert other == history
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_a_first_stage_at_strength_zero_changes_nothing() -> None:
    zero = RoLSS(keep_epochs=9).at_zero()
    zero.begin(net(), 0, 2)
    assert zero.selectable(0, 2)


def test_mistakes_are_explained() -> None:
    with pytest.raises(PluginError, match="keep_epochs = 3 in 3 epochs"):
        fit(prepared(SMALL, (late := RoLSS(keep_epochs=3),)), (late,), IMAGES, IMAGES, CONSTANT, RUN)
    with pytest.raises(PluginError, match=r"InvertedResidual(.|\n)*timm.models.resnet.BasicBlock"):
        RoLSS().prepare(Timm("tf_efficientnet_lite0").build(3, IMAGES.shape, RUN), RUN)
    for model in (SMALL, VIT, DENSE):
        with pytest.raises(PluginError, match="twice"):
            RoLSS().prepare(RoLSS(0.2).prepare(net(model), RUN), RUN)
    with pytest.raises(PluginError, match="'stage3', which is frozen"):
        RoLSS().prepare(TLDMI("stage3").prepare(net(), RUN), RUN)
    late = TLDMI("stage3").prepare(RoLSS().prepare(net(), RUN), RUN)
    with pytest.raises(PluginError, match="'stage3', which is frozen"):
        fit(late, (RoLSS(),), IMAGES, IMAGES, RECIPE, RUN)
