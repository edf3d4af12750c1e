from __future__ import annotations

import collections
import json
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn
from typer.testing import CliRunner

from unveil.attacks.priors.pretrained_style import StyleGAN2ADA
from unveil.attacks.priors.style_critic import StyleCritic
from unveil.attacks.priors.style_layers import Layout
from unveil.attacks.priors.style_networks import Frame, StyleGAN2, StyleGenerator
from unveil.cli.app import app
from unveil.harness.assets import fetch as assets
from unveil.harness.assets.stylegan2_pickle import convert
from unveil.harness.plan import settings
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Images
from unveil.harness.words.errors import PluginError, WeightsError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

LAYOUT = Layout(32, z_dim=6, w_dim=5, mapping_layers=2, channel_base=128, channel_max=8, clamp=256)
TOLD = "drawn by a random number generator"
Facts = Mapping[str, Mapping[str, Any]]
NONE: Facts = types.MappingProxyType({})
GENERATOR: Facts = {
    "": {"c_dim": 0, "z_dim": 6, "w_dim": 5, "img_resolution": 32, "img_channels": 3},
    "mapping": {"num_layers": 2, "w_avg_beta": 0.995},
    "fc": {"activation": "lrelu", "bias_gain": 0.01},
    "block": {"architecture": "skip"},
    "conv": {"use_noise": True, "conv_clamp": 256},
    "torgb": {"conv_clamp": 256},
}
CRITIC: Facts = {
    "": {"c_dim": 0, "img_resolution": 32},
    "block": {"architecture": "resnet"},
    "conv": {"conv_clamp": 256},
    "mbstd": {"group_size": 4, "num_channels": 1},
}


class Persistent:
    """A module as NVIDIA's code pickles it: a call of its loader with source code, class name and attributes."""

    def __init__(self, loader: Callable[..., Any], name: str, state: dict[str, Any]) -> None:
        self.loader = loader
        self.meta = {"type": "class", "version": 6, "module_src": "import os\nos.abort()", "class_name": name}
        self.meta["state"] = state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.loader, (self.meta,), None


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module, Facts], Persistent]:
    """Dresses a network up as an official one."""

    def loader(meta: object) -> None:
        raise AssertionError("the pickle was executed")

    class EasyDict(dict[str, Any]):
        """Attributes for keys."""

    _publish(monkeypatch, "torch_utils.persistence", "_reconstruct_persistent_obj", loader)
    _publish(monkeypatch, "dnnlib.util", "EasyDict", EasyDict)

    def dress(network: nn.Module, facts: Facts, name: str = "") -> Persistent:
        leaf = name.rpartition(".")[2]
        kind = next((kind for kind in ("fc", "conv", "mbstd") if leaf.startswith(kind)), leaf)
        kind = "block" if leaf.startswith("b") and leaf[1:].isdigit() else kind
        children = {key: dress(child, facts, f"{name}.{key}") for key, child in network.named_children()}
        if leaf == "b4" and "mbstd" in facts:
            children["mbstd"] = dress(nn.Module(), facts, ".mbstd")
        state = {
            "training": False,
            "_parameters": collections.OrderedDict(network._parameters),
            "_buffers": collections.OrderedDict(network._buffers),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": collections.OrderedDict(),
            "_modules": collections.OrderedDict(children),
            "_init_args": (),
            "_init_kwargs": EasyDict(synthesis_kwargs=EasyDict(channel_base=128)),
        }
        return Persistent(loader, kind, {**state, **facts.get(kind, {})})

    return dress


def _publish(monkeypatch: pytest.MonkeyPatch, module: str, name: str, thing: Any) -> None:
    thing.__module__, thing.__qualname__ = module, name
    parts = module.split(".")
    for k in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:k]), types.ModuleType(".".join(parts[:k])))
    setattr(sys.modules[module], name, thing)


@pytest.fixture
def source() -> StyleGenerator:
    with seeded(Run("source")):
        made = StyleGenerator(StyleGAN2(LAYOUT), StyleCritic(LAYOUT)).eval().requires_grad_(False)
        for name, p in made.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                p.add_(torch.randn(p.shape), alpha=0.1)
        made.network.mapping.w_avg.normal_()
    return made


@pytest.fixture
def save(tmp_path: Path, official: Any, source: StyleGenerator) -> Callable[..., Path]:
    """Writes a file in the official layout, with some facts changed."""

    def write(generator: Facts = NONE, critic: Facts | None = NONE, protocol: int = 4) -> Path:
        found = {
            "G_ema": official(source.network, {key: {**GENERATOR[key], **generator.get(key, {})} for key in GENERATOR})
        }
        if critic is not None:
            facts = {key: {**CRITIC[key], **critic.get(key, {})} for key in CRITIC}
            found |= {"D": official(source.critic, facts), "G": found["G_ema"], "augment_pipe": None}
        path = tmp_path / "network.pkl"
        path.write_bytes(pickle.dumps(found, protocol))
        return path

    return write


def prior(file: Path, crop: int | None = None) -> StyleGAN2ADA:
    return StyleGAN2ADA(file=str(file), trained_on=TOLD, crop=crop)


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_converted_network_draws_what_its_source_draws(
    save: Callable[..., Path], source: StyleGenerator, tmp_path: Path, protocol: int
) -> None:
    out = tmp_path / "network.safetensors"
    pkl = save(protocol=protocol)
    facts = convert(pkl, out)
    assert facts["generator"] == {
        "resolution": 32, "channels": 3, "z_dim": 6, "w_dim": 5, "mapping_layers": 2,
        "channel_base": 128, "channel_max": 8, "clamp": 256,
    }  # fmt: skip
    loaded = prior(out).build(2, (3, 32, 32)).eval()
    assert isinstance(loaded, StyleGenerator)
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.synthesize(z), source.synthesize(z))
    assert torch.equal(loaded.map(z, 0.5, 3), source.map(z, 0.5, 3))
    x = source.synthesize(z)
    assert torch.equal(loaded.realism(x), source.realism(x))
    with safe_open(out, "pt") as file:
        assert file.metadata()["source"] == assets.sha256(pkl)
        assert json.loads(file.metadata()["critic"])["group"] == 4


def test_the_command_converts(save: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "network.safetensors"
    done = CliRunner().invoke(app, ["convert-stylegan2", str(save()), str(out)])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {"network.pkl", "network.safetensors"}
    with pytest.raises(WeightsError, match="cannot be written"):
        convert(save(), tmp_path / "nowhere" / "network.safetensors")


def test_pictures_are_cut_and_resized_and_nothing_is_trained(
    save: Callable[..., Path], source: StyleGenerator, tmp_path: Path
) -> None:
    out = tmp_path / "network.safetensors"
    convert(save(critic=None), out)
    cut = prior(out, crop=24)
    generator = cut.build(2, (3, 16, 16))
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    public = Images(torch.zeros(2, 3, 16, 16), torch.full((2,), -1))
    assert cut.fit(generator, public, None, Run("fit")) == {}
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    expected = StyleGenerator(source.network, None, Frame(24, 16)).eval().synthesize(z)
    torch.testing.assert_close(generator.synthesize(z), expected)
    assert expected.shape == (2, 3, 16, 16)


def test_its_identity_is_the_files_content_and_what_it_was_trained_on(save: Any, tmp_path: Path) -> None:
    out, copied = tmp_path / "network.safetensors", tmp_path / "copy.safetensors"
    convert(save(), out)
    copied.write_bytes(out.read_bytes())
    asked = [settings.question(Spec("stylegan2_ada"), prior(path)) for path in (out, copied)]
    assert asked[0] == asked[1]
    assert asked[0]["settings"]["file"] == assets.sha256(out)
    assert asked[0]["settings"]["trained_on"] == TOLD
    with pytest.raises(PluginError, match="trained_on"):
        settings.make("priors", Spec("stylegan2_ada", {"file": str(out)}), tmp_path)


@pytest.mark.parametrize(
    ("generator", "critic", "told"),
    [
        ({"": {"c_dim": 10}}, {}, "c_dim is 10, not 0"),
        ({"fc": {"activation": "relu"}}, {}, "activation"),
        ({"fc": {"bias_gain": 1.0}}, {}, "bias_gain"),
        ({"block": {"architecture": "orig"}}, {}, "architecture"),
        ({"conv": {"use_noise": False}}, {}, "use_noise"),
        ({"conv": {"conv_clamp": torch.zeros(2)}}, {}, "clamp"),
        ({"torgb": {"conv_clamp": None}}, {}, "conv_clamp"),
        ({}, {"block": {"architecture": "skip"}}, "architecture"),
        ({}, {"mbstd": {"group_size": None}}, "whole batches"),
        ({}, {"mbstd": {"num_channels": 2}}, "num_channels"),
    ],
)
def test_networks_of_another_kind_are_refused(
    save: Callable[..., Path], tmp_path: Path, generator: Facts, critic: Facts, told: str
) -> None:
    with pytest.raises(WeightsError, match=told):
        convert(save(generator, critic), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_another_filter_a_missing_layer_and_nan_are_refused(
    save: Callable[..., Path], source: StyleGenerator, tmp_path: Path
) -> None:
    block = source.network.synthesis.get_submodule("b8")
    block.conv0.resample_filter[0, 0] += 0.01
    with pytest.raises(WeightsError, match=r"conv0\.resample_filter is not the filter"):
        convert(save(), tmp_path / "out.safetensors")
    block.conv0.resample_filter[0, 0] -= 0.01
    block.conv0.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"b8\.conv0\.weight is not finite"):
        convert(save(), tmp_path / "out.safetensors")
    del block.conv1
    with pytest.raises(WeightsError, match=r"laid out differently.*b8\.conv1"):
        convert(save(), tmp_path / "out.safetensors")


def test_files_and_data_that_do_not_fit_are_named(save: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "network.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        prior(out).content()
    with pytest.raises(WeightsError, match="no converted StyleGAN2"):
        prior(save()).build(2, (3, 32, 32))
    convert(save(), out)
    with pytest.raises(WeightsError, match="3 colours"):
        prior(out).build(2, (1, 32, 32))
    with pytest.raises(WeightsError, match="crop = 48"):
        prior(out, crop=48).build(2, (3, 32, 32))
    out.write_bytes(out.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="no converted StyleGAN2"):
        prior(out).build(2, (3, 32, 32))
