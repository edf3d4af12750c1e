from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.assets import fetch as assets
from unveil.harness.assets import torchvision_ops
from unveil.harness.assets.catalogue import ASSETS
from unveil.harness.models import timm as ours
from unveil.harness.models.chains import split
from unveil.harness.models.timm import Timm
from unveil.harness.types import Classifier
from unveil.harness.words.errors import AssetError, PluginError, WeightsError
from unveil.harness.words.run import Run

torchvision_ops.ensure()
import timm  # noqa: E402
from timm.models.vgg import VGG  # noqa: E402

RUN = Run("models")
FAMILIES = [
    ("resnet10t", ("stem", "layer1", "layer2", "layer3", "layer4", "pool"), 64),
    pytest.param(
        *("vgg11_bn", ("block1", "block2", "block3", "block4", "block5", "pre_logits", "pool"), 32),
        marks=pytest.mark.slow,  # 130 million parameters
    ),
    ("tf_efficientnet_lite0", ("stem", *(f"block{i}" for i in range(7)), "conv_head", "pool"), 48),
    ("mobilenetv3_small_050", ("stem", *(f"block{i}" for i in range(6)), "pool"), 48),
    ("convnext_atto", ("stem", "stage0", "stage1", "stage2", "stage3", "pool"), 64),
    ("vit_tiny_patch16_224", ("embed", *(f"block{i}" for i in range(12)), "pool"), 32),
    ("deit3_small_patch16_224", ("embed", *(f"block{i}" for i in range(12)), "pool"), 32),
    ("regnetx_002", ("stem", "s1", "s2", "s3", "s4", "pool"), 64),
    ("resnetv2_50", ("stem", "stage0", "stage1", "stage2", "stage3", "pool"), 64),
    ("dpn48b", ("body",), 64),
]


def _twin(classifier: Classifier, name: str, side: int) -> nn.Module:
    """timm's own model, given the chain's parameters in the order in which both use them."""
    fixed = {"img_size": side} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RUN.seed("initial weights"))
        twin: nn.Module = timm.create_model(name, num_classes=classifier.classes, **fixed)
    return twin.eval()


@pytest.mark.parametrize(("name", "stages", "side"), FAMILIES)
def test_chain_is_the_timm_model(name: str, stages: tuple[str, ...], side: int) -> None:
    classifier = Timm(name).build(5, (3, side, side), RUN).eval()
    assert classifier.stage_names == stages
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    cfg = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (cfg.mean, cfg.std))
    with torch.no_grad():
        expected = _twin(classifier, name, side)((x - mean) / std)
        passed = classifier.run(x)
    torch.testing.assert_close(passed.logits, expected, rtol=1e-3, atol=1e-5 * max(1.0, float(expected.abs().max())))
    assert passed.features.shape == (2, classifier.head.in_features)
    count = sum(p.numel() for p in classifier.parameters())
    assert count == sum(p.numel() for p in timm.create_model(name, num_classes=5, **_fixed(cfg, side)).parameters())


def test_vgg_is_cut_after_its_max_pools() -> None:
    model = VGG([8, 8, "M", 16, "M", 16], num_classes=3, mlp_ratio=0.01, norm_layer=nn.BatchNorm2d).eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = model(x)
    head = model.get_classifier()
    model.head.fc = nn.Identity()
    stages = split(model)
    assert list(stages) == ["block1", "block2", "block3", "pre_logits", "pool"]
    torch.testing.assert_close(head(nn.Sequential(*stages.values())(x)), expected)


def _fixed(cfg: object, side: int) -> dict[str, int]:
    return {"img_size": side} if getattr(cfg, "fixed_input_size", False) else {}


def test_initial_weights_come_from_the_run_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = (Timm("resnet10t").build(3, (1, 32, 32), run) for run in (RUN, RUN, Run("other")))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_model_without_stages_refuses_to_freeze_one_by_name() -> None:
    with pytest.raises(PluginError, match=r"'layer1'.*\n.*body"):
        TLDMI("layer1").prepare(Timm("dpn48b").build(3, (3, 64, 64), RUN), RUN)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Timm("resnet81"), "did you mean 'resnet18'"),
        (Timm("resnet18.a1_in2k"), "did you mean 'resnet18.a1_in1k'"),
        (Timm("deit_tiny_distilled_patch16_224"), "one linear layer"),
        (Timm("inception_v3", size=8), "larger images"),
    ],
)
def test_what_timm_cannot_build_is_said(model: Timm, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        model.build(3, (3, 64, 64), RUN)


def test_unknown_names_are_found_before_anything_runs() -> None:
    with pytest.raises(PluginError, match="resnet"):
        Timm("resnet81").content()


def test_hub_offline_says_how_to_give_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"no route to host(.|\n)*weights = 'path"):
        Timm("resnet18", "hub").build(3, (3, 64, 64), RUN)


def test_assets_that_do_not_exist_are_named() -> None:
    with pytest.raises(WeightsError, match="tf_efficientnet_lite0"):
        Timm("resnet18", "asset").content()
    assert set(ours.ASSETS.values()) <= set(ASSETS)


def test_efficientnet_asset_fits_in_order() -> None:
    try:
        path = assets.path("efficientnet-lite0")
    except AssetError as error:
        pytest.skip(f"asset cannot be fetched: {error.what}")
    original = [v for k, v in torch.load(path, weights_only=True).items() if not k.endswith("num_batches_tracked")]
    classifier = Timm("tf_efficientnet_lite0", "asset").build(1000, (3, 64, 64), RUN)
    loaded = [v for k, v in classifier.state_dict().items() if not k.endswith("num_batches_tracked")]
    assert len(loaded) == len(original)
    assert all(torch.equal(a, b) for a, b in zip(loaded, original, strict=True))
    grey = Timm("tf_efficientnet_lite0", "asset").build(7, (1, 64, 64), RUN)
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(grey.features(x), classifier.features(x.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)


def test_local_file_and_its_checksum(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        source = timm.create_model("resnet10t", num_classes=9).eval()
    state = source.state_dict()
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    first, second = (Timm("resnet10t", str(tmp_path / f)) for f in ("w.safetensors", "w.pth"))
    assert first.content() != second.content()
    same, new_head = first.build(9, (3, 32, 32), RUN), second.build(4, (3, 32, 32), RUN)
    assert torch.equal(same.head.weight, state["fc.weight"])
    assert new_head.head.weight.shape == (4, 512)
    assert torch.equal(new_head.stages["stem"][0][0].weight, state["conv1.0.weight"])


def test_checkpoint_of_another_architecture_names_what_does_not_fit(tmp_path: Path) -> None:
    state = timm.create_model("resnet10t", num_classes=9).state_dict()
    state["conv1.0.weight"] = state["conv1.0.weight"][:, :, :1]
    state["surplus"] = state.pop("layer1.0.conv1.weight")
    path = tmp_path / "w.pt"
    torch.save(state, path)
    with pytest.raises(WeightsError) as caught:
        Timm("resnet10t", str(path)).build(9, (3, 32, 32), RUN)
    for part in ("1 missing: layer1.0.conv1.weight", "1 unexpected: surplus", "conv1.0.weight is (24, 3, 1, 3)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_unreadable_checkpoints(tmp_path: Path, content: bytes | None) -> None:
    for name in ("w.pt", "w.safetensors"):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"w\.(pt|safetensors)"):
            Timm("resnet10t", str(path)).build(9, (3, 32, 32), RUN)


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet10t", num_classes=2), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="no pickled code"):
        Timm("resnet10t", str(tmp_path / "model.pt")).build(2, (3, 32, 32), RUN)


def test_size_is_resized_to() -> None:
    classifier = dataclasses.replace(Timm("resnet10t"), size=32).build(3, (3, 64, 48), RUN)
    assert classifier.run(torch.rand(1, 3, 64, 48)).logits.shape == (1, 3)


def test_pictures_are_normalised_as_asked() -> None:
    own = Timm("resnet10t", mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5)).build(3, (3, 32, 32), RUN)
    x = torch.full((1, 3, 32, 32), 0.75)
    assert own.normalise(x)[0, :, 0, 0].tolist() == [0.5, 1.0, 0.5]
    assert not torch.equal(Timm("resnet10t").build(3, (3, 32, 32), RUN).normalise(x), own.normalise(x))
