"""The 64-pixel literature's networks: sizes, what their parts compute, and its checkpoints by their released names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.defenses.mid import MID
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.assets import torchvision_ops
from unveil.harness.models.ir import IR152, IR50At64, IR50At112, Unit
from unveil.harness.models.published import Published
from unveil.harness.models.timm import Timm
from unveil.harness.models.vgg16 import VGG16
from unveil.harness.types import Classifier
from unveil.harness.words.errors import PluginError, WeightsError
from unveil.harness.words.run import Run

RUN = Run("published")
SHAPE = (3, 64, 64)
State = dict[str, Tensor]


class Short(IR50At64):
    """One with a few units, for what does not hang on how many they are."""

    units = (1, 2, 1, 1)


class ShortAt112(Short):
    size = 112


def bare(model: Published, classes: int = 1000) -> Classifier:
    with torch.device("meta"):
        return model.bare(classes)


@pytest.mark.parametrize(
    ("model", "count", "layers", "features"),
    [
        (VGG16(), 16_776_232, 44, 2048),
        (IR152(), 62_599_848, 50, 512),
        (IR50At64(), 35_437_224, 24, 512),
        (IR50At112(), 44_087_976, 24, 512),
    ],
)
def test_sizes_as_published(model: Published, count: int, layers: int, features: int) -> None:
    network = bare(model)
    assert sum(network.count()) == count
    assert len(network.layers) == layers
    assert isinstance(network.head, nn.Linear)
    assert network.head.in_features == features


@pytest.mark.parametrize(
    ("model", "defense", "trainable"),
    [
        (VGG16(), TLDMI(layer=26), 13_855_208),
        (IR152(), TLDMI(layer=46), 17_825_256),
        (IR152(), TLDMI(layer=46, stem=False, statistics=False), 17_825_256 + 1_920),
        (IR152(), TLDMI("stage3"), 17_825_256),
        (IR50At64(), TLDMI(layer=5), 34_391_912),
        (IR50At64(), TLDMI(layer=5, stem=False), 34_391_912 + 1_920),
    ],
)
def test_as_much_trains_as_published(model: Published, defense: TLDMI, trainable: int) -> None:
    assert defense.prepare(bare(model), RUN).count()[1] == trainable


def test_a_freeze_within_a_block_holds_its_layers_still_and_no_more() -> None:
    network = TLDMI(layer=26).prepare(VGG16().bare(3), RUN).train()
    assert network.frozen_depth == 3
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.SGD(network.trainable(), 0.1)
    F.cross_entropy(network.logits(torch.rand(4, *SHAPE)), torch.tensor([0, 1, 2, 0])).backward()
    optimiser.step()
    for name, value in network.state_dict().items():
        block, _, layer = name.removeprefix("stages.").partition(".")
        frozen = (block < "block4" or (block == "block4" and int(layer.split(".")[0]) <= 26)) and block[:5] == "block"
        assert torch.equal(value, before[name]) == (frozen or name == "stages.flat.bn.bias"), name


def test_what_has_no_shift_by_design_is_no_frozen_layer() -> None:
    """Of which a reader is warned where it was never trained."""
    assert bare(VGG16()).frozen_layers == 0
    assert TLDMI(layer=26).prepare(bare(VGG16()), RUN).frozen_layers == 16  # eight convolutions, eight norms


def test_mistaken_numbers_are_explained() -> None:
    with pytest.raises(PluginError, match=r"layer = 50: (.|\n)*from 0 to 49\n(.|\n)*stage4\.49 is 49"):
        TLDMI(layer=50).prepare(bare(IR152()), RUN)
    with pytest.raises(PluginError, match="all of the model's stages are numbered"):
        TLDMI(layer=3, stem=False).prepare(bare(VGG16()), RUN)
    with pytest.raises(PluginError, match="no layer"):
        TLDMI("stage2", stem=False)
    with pytest.raises(PluginError, match=r"share = 0\.5 and layer = 3"):
        TLDMI(share=0.5, layer=3)


@torch.no_grad()
def test_vgg16_is_torchvisions_with_another_end() -> None:
    network = VGG16(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).bare(5)
    torchvision_ops.ensure()
    with torch.device("meta"):
        theirs = importlib.import_module("torchvision.models").vgg16_bn().features
    theirs.to_empty(device="cpu")
    theirs.load_state_dict(VGG16().released(network).feature.state_dict())
    bn = network.stages["flat"].bn
    x, scale = torch.rand(2, 3, 64, 64), torch.rand(2048)
    bn.weight.copy_(scale)
    for module in (network.eval(), theirs.eval()):
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.fill_(0.01)
    flat = theirs((x - 0.5) / 0.5).flatten(1)
    expected = F.linear(scale * flat / (1 + bn.eps) ** 0.5, network.head.weight, network.head.bias)
    torch.testing.assert_close(network.logits(x), expected)


@pytest.mark.parametrize(("before", "stride"), [(8, 1), (8, 2), (4, 2)])
@torch.no_grad()
def test_a_unit_by_hand(before: int, stride: int) -> None:
    unit = Unit(before, 8, stride).eval()
    state = {name: value.copy_(torch.rand_like(value)) for name, value in unit.state_dict().items() if value.ndim}
    x = torch.randn(2, before, 6, 6)

    def norm(h: Tensor, name: str) -> Tensor:
        mean, var, w, b = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(h, mean, var, w, b)

    h = F.conv2d(norm(x, "res_layer.0"), state["res_layer.1.weight"], padding=1)
    h = torch.where(h > 0, h, h * state["res_layer.2.weight"][:, None, None])
    h = norm(F.conv2d(h, state["res_layer.3.weight"], padding=1, stride=stride), "res_layer.4")
    short = x[:, :, ::stride, ::stride]
    if before != 8:
        short = norm(F.conv2d(short, state["shortcut_layer.0.weight"]), "shortcut_layer.1")
    torch.testing.assert_close(unit(x), h + short)


def made_up(shapes: dict[str, tuple[int, ...]]) -> State:
    """Tensors of those names that tell one from another."""
    generator = torch.Generator().manual_seed(1)
    counters = {name for name in shapes if name.endswith("num_batches_tracked")}
    return {
        name: torch.tensor(7) if name in counters else torch.rand(shape, generator=generator)
        for name, shape in shapes.items()
    }


def norm_of(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    kept = dict.fromkeys((f"{name}.{k}" for k in ("weight", "bias", "running_mean", "running_var")), (channels,))
    return {**kept, f"{name}.num_batches_tracked": ()}


def vgg(classes: int, *, norm: bool = True) -> dict[str, tuple[int, ...]]:
    """A released VGG16's tensors, written down from its description."""
    named: dict[str, tuple[int, ...]] = {}
    before = 3
    convs = {0: 64, 3: 64, 7: 128, 10: 128, 14: 256, 17: 256, 20: 256} | dict.fromkeys((24, 27, 30, 34, 37, 40), 512)
    for at, after in convs.items():
        named |= {f"feature.{at}.weight": (after, before, 3, 3), f"feature.{at}.bias": (after,)}
        named |= norm_of(f"feature.{at + 1}", after)
        before = after
    named |= norm_of("bn", 2048) if norm else {"st_layer.weight": (2048, 2048), "st_layer.bias": (2048,)}
    return named | {"fc_layer.weight": (classes, 2048 if norm else 1024), "fc_layer.bias": (classes,)}


def ir(classes: int, units: tuple[int, ...], side: int) -> dict[str, tuple[int, ...]]:
    """A released IR network's tensors."""
    named = {"input_layer.0.weight": (64, 3, 3, 3), **norm_of("input_layer.1", 64), "input_layer.2.weight": (64,)}
    before, number = 64, 0
    for count, after in zip(units, (64, 128, 256, 512), strict=True):
        for _ in range(count):
            unit = f"body.{number}"
            if before != after:
                named |= {f"{unit}.shortcut_layer.0.weight": (after, before, 1, 1)}
                named |= norm_of(f"{unit}.shortcut_layer.1", after)
            named |= norm_of(f"{unit}.res_layer.0", before) | {f"{unit}.res_layer.1.weight": (after, before, 3, 3)}
            named |= {f"{unit}.res_layer.2.weight": (after,), f"{unit}.res_layer.3.weight": (after, after, 3, 3)}
            named |= norm_of(f"{unit}.res_layer.4", after)
            before, number = after, number + 1
    places = (side // 16) ** 2
    named |= norm_of("output_layer.0", 512) | norm_of("output_layer.4", 512)
    named |= {"output_layer.3.weight": (512, 512 * places), "output_layer.3.bias": (512,)}
    whole = {f"feature.{name}": shape for name, shape in named.items()}
    return whole | {"fc_layer.weight": (classes, 512), "fc_layer.bias": (classes,)}


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (VGG16(), vgg(1000)),
        (IR152(), ir(1000, (3, 8, 36, 3), 64)),
        (IR50At64(), ir(1000, (3, 4, 14, 3), 64)),
        (IR50At112(), ir(1000, (3, 4, 14, 3), 112)),
    ],
)
def test_names_and_shapes_are_those_of_the_released_checkpoints(model: Published, shapes: dict) -> None:
    state = model.released(bare(model)).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes


WRAPPED: list[Callable[[State], object]] = [
    lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 40},
    lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
]


@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_released_checkpoint_fills_every_tensor(wrap: Callable[[State], object], tmp_path: Path) -> None:
    state = made_up(ir(3, Short.units, 64))
    torch.save(wrap(state), tmp_path / "ir.tar")
    model = Short(weights=str(tmp_path / "ir.tar"))
    assert model.preflight()
    network = model.build(3, SHAPE, RUN)
    found, x = network.state_dict(), torch.rand(1, *SHAPE)
    assert torch.equal(network.normalise(x), x)  # as published
    assert len(found) == len(state)
    assert torch.equal(found["stages.stage2.2.res_layer.3.weight"], state["feature.body.2.res_layer.3.weight"])
    assert torch.equal(found["head.weight"], state["fc_layer.weight"])
    again = model.released(network).state_dict()
    assert all(torch.equal(again[name], value) for name, value in state.items())
    other = model.build(4, SHAPE, RUN).state_dict()  # a head for other people starts anew
    assert torch.equal(other["stages.output.3.weight"], state["feature.output_layer.3.weight"])


def test_a_released_classifier_is_restored_with_the_classes_that_it_knows(tmp_path: Path) -> None:
    state = made_up(ir(5, Short.units, 64))
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "ir.tar")
    found = Short().restore(tmp_path / "ir.tar", SHAPE, RUN)
    assert found is not None
    assert (found[0].classes, len(found[1])) == (5, 1)
    assert torch.equal(found[0].state_dict()["head.bias"], state["fc_layer.bias"])
    torch.save(found[0].state_dict(), tmp_path / "ours.pt")
    assert Short().restore(tmp_path / "ours.pt", SHAPE, RUN) is None  # under the names that this package saves
    torch.save({name: t for name, t in state.items() if "fc_layer" not in name}, tmp_path / "backbone.pt")
    with pytest.raises(WeightsError, match=r"no classifier layer fc_layer(.|\n)*take its backbone as weights"):
        Short().restore(tmp_path / "backbone.pt", SHAPE, RUN)


def test_the_bottlenecks_names_too(tmp_path: Path) -> None:
    state = made_up(vgg(3, norm=False))
    torch.save({"state_dict": state}, tmp_path / "mid.tar")
    model = VGG16(norm=False)
    network = MID().prepare(model.bare(3), RUN)
    model.fill(network, tmp_path / "mid.tar")
    assert torch.equal(network.state_dict()["head.bottleneck.code.weight"], state["st_layer.weight"])
    assert torch.equal(network.state_dict()["head.linear.bias"], state["fc_layer.bias"])


def test_backbones_that_targets_were_initialised_from(tmp_path: Path) -> None:
    whole = made_up(ir(3, Short.units, 112))
    state = {name.removeprefix("feature."): t for name, t in whole.items() if name.startswith("feature.")}
    torch.save(state, tmp_path / "ms1m.pth")
    model = Short(weights=str(tmp_path / "ms1m.pth"))
    assert any("output_layer.3, which is for pictures of another size" in note for note in model.preflight())
    network = model.build(3, SHAPE, RUN).state_dict()
    assert torch.equal(network["stages.stem.0.weight"], state["input_layer.0.weight"])
    assert torch.equal(network["stages.output.4.running_var"], state["output_layer.4.running_var"])
    assert network["stages.output.3.weight"].shape == (512, 512 * 16)
    larger = ShortAt112(weights=str(tmp_path / "ms1m.pth"))
    assert larger.preflight() == ()
    found = larger.build(3, SHAPE, RUN).state_dict()["stages.output.3.weight"]
    assert torch.equal(found, state["output_layer.3.weight"])


def test_imagenet_weights_by_the_names_of_their_libraries(tmp_path: Path) -> None:
    released = {name: value for name, value in made_up(vgg(3)).items() if name.startswith("feature.")}
    others = {"classifier.0.weight": torch.ones(2, 2), "classifier.0.bias": torch.ones(2)}
    torch.save(
        {name.replace("feature.", "features."): t for name, t in released.items()} | others, tmp_path / "vgg.pth"
    )
    network = VGG16(weights=str(tmp_path / "vgg.pth")).build(3, SHAPE, RUN).state_dict()
    assert torch.equal(network["stages.block4.27.weight"], released["feature.27.weight"])
    with torch.device("meta"):
        mine, timms = VGG16().bare(3), Timm("vgg16_bn")._create(2, 3, None)
    ours = {name: t.shape for name, t in VGG16().released(mine).feature.state_dict().items()}
    assert ours == {name: t.shape for name, t in timms.features.state_dict().items()}


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    state = made_up(ir(3, Short.units, 64))
    del state["feature.body.1.res_layer.2.weight"]
    torch.save(state, tmp_path / "ir.tar")
    with pytest.raises(WeightsError, match=r"1 missing: feature\.body\.1\.res_layer\.2\.weight"):
        Short(weights=str(tmp_path / "ir.tar")).build(3, SHAPE, RUN)
    with pytest.raises(WeightsError, match=r"missing: bn\.bias"):
        VGG16().fill(VGG16().bare(3), _saved(tmp_path / "no-bn.tar", vgg(3, norm=False)))
    with pytest.raises(WeightsError, match="pictures of 4 colours"):
        Short().build(3, (4, 64, 64), RUN)


def _saved(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    torch.save(made_up({name: shape for name, shape in shapes.items() if not name.startswith("st_layer")}), path)
    return path
