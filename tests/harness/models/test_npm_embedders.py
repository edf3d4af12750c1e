"""fr_feature and faceres: made files are read back, and the published ones give the values of their own runtimes."""

import json
import math
import struct

import pytest
import torch

from unveil.harness.assets import fetch as assets
from unveil.harness.assets import onnx_file, tfjs
from unveil.harness.models import faceres, fr_feature, mobilefacenet
from unveil.harness.models.faceres import FaceRes
from unveil.harness.models.fr_feature import FRFeature
from unveil.harness.steps.model import require_weights
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.errors import AssetError, WeightsError
from unveil.harness.words.run import Run


def number(value):
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def message(*fields):
    """A protocol buffer of (key, number or bytes)."""
    out = b""
    for key, value in fields:
        plain = isinstance(value, int)
        out += number(key << 3 | (0 if plain else 2)) + (number(value) if plain else number(len(value)) + value)
    return out


def write_onnx(path, body):
    """Convolutions and PReLUs with their tensors, under names that mean nothing, in the order of computation."""
    nodes, tensors = [], []
    for module in torch.nn.ModuleDict(body).modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.PReLU):
            prelu = isinstance(module, torch.nn.PReLU)
            own = [module.weight[:, None, None]] if prelu else [module.weight, module.bias]
            names = [f"t{len(tensors) + k}".encode() for k in range(len(own))]
            for name, tensor in zip(names, own, strict=True):
                sides = [(1, side) for side in tensor.shape]
                raw = tensor.detach().numpy().tobytes()
                tensors.append((5, message(*sides, (2, 1), (8, name), (9, raw))))
            inputs = [(1, b"x"), *((1, name) for name in names)]
            attribute = message((1, b"group"), (3, 1), (20, 2))
            nodes.append((1, message(*inputs, (2, b"y"), (4, b"PRelu" if prelu else b"Conv"), (5, attribute))))
    shape = (5, message((1, 2), (2, 7), (8, b"shape"), (9, struct.pack("<2q", 1, -1))))
    nodes.append((1, message((1, b"y"), (1, b"shape"), (2, b"output"), (4, b"Reshape"))))
    path.write_bytes(message((1, 6), (2, b"pytorch"), (7, message(*nodes, (2, b"graph"), *tensors, shape))))


def write_tfjs(folder, tensors):
    """A manifest, and half-precision tensors one behind the other."""
    kinds = {"dtype": "float32", "quantization": {"dtype": "float16", "original_dtype": "float32"}}
    weights = [{"name": name, "shape": list(tensor.shape), **kinds} for name, tensor in tensors.items()]
    (folder / "faceres.bin").write_bytes(b"".join(t.half().numpy().tobytes() for t in tensors.values()))
    manifest = [{"paths": ["faceres.bin"], "weights": weights}]
    (folder / "faceres.json").write_text(json.dumps({"modelTopology": {}, "weightsManifest": manifest}))
    return folder / "faceres.json"


def test_onnx_tensors_come_back_in_order(tmp_path):
    with seeded(Run("made")):
        body = mobilefacenet.stages(512, folded=True)
    write_onnx(tmp_path / "a.onnx", body)
    found = FRFeature(str(tmp_path / "a.onnx")).build(3, (3, 112, 112), Run("other"))
    wanted = torch.nn.ModuleDict(body).state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.stages.state_dict().items())
    assert [operation.kind for operation in onnx_file.read(tmp_path / "a.onnx")].count("PRelu") == 33
    whole = (tmp_path / "a.onnx").read_bytes()
    for cut in (1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.onnx").write_bytes(whole[:cut])
        with pytest.raises(WeightsError, match=r"cannot be read|other numbers"):
            FRFeature(str(tmp_path / "a.onnx")).preflight()


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 40, b"\x3a\x05abc", message((7, b"")), message((7, 3)), b"PK\x03\x04"]
)
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="ONNX file"):
        onnx_file.read(tmp_path / "a.onnx")


def made_tensors():
    generator, tensors = torch.Generator().manual_seed(0), {}

    def draw(*shape):
        return torch.randn(*shape, generator=generator) / math.sqrt(math.prod(shape[:-1]) or 1)

    tensors["conv1/convolution/merged_input"], tensors["conv1_bn/batchnorm_1/sub"] = draw(3, 3, 3, 32), draw(32)
    before = 32
    for k, after in enumerate(faceres.WIDTHS, 1):
        tensors[f"conv_dw_{k}/depthwise_kernel"] = draw(3, 3, before, 1)
        tensors[f"conv_dw_{k}_bn/batchnorm_1/mul"], tensors[f"conv_dw_{k}_bn/batchnorm_1/sub"] = (
            draw(before),
            draw(before),
        )
        tensors[f"conv_pw_{k}/convolution/merged_input"] = draw(1, 1, before, after)
        tensors[f"conv_pw_{k}_bn/batchnorm_1/sub"] = draw(after)
        before = after
    return tensors


def test_tfjs_tensors_find_their_places(tmp_path):
    tensors = made_tensors()
    path = write_tfjs(tmp_path, tensors)
    state = FaceRes(str(path)).build(3, (3, 224, 224), Run("x")).stages.state_dict()
    half = {name: tensor.half().float() for name, tensor in tensors.items()}
    kernel = half["conv1/convolution/merged_input"]
    assert torch.equal(state["conv1.conv.weight"][:, 0], kernel[:, :, 2].permute(2, 0, 1)), "red comes last in the file"
    scaled = half["conv_dw_3/depthwise_kernel"][:, :, :, 0] * half["conv_dw_3_bn/batchnorm_1/mul"]
    torch.testing.assert_close(state["block3.0.conv.weight"][:, 0], scaled.permute(2, 0, 1))
    assert torch.equal(state["block13.1.conv.bias"], half["conv_pw_13_bn/batchnorm_1/sub"])
    before = FaceRes(str(path)).content()
    (tmp_path / "faceres.bin").write_bytes((tmp_path / "faceres.bin").read_bytes()[:-2])
    assert FaceRes(str(path)).content() != before, "the weights are in the other file"
    with pytest.raises(WeightsError, match=r"outside the \.bin"):
        FaceRes(str(path)).preflight()
    tensors.pop("conv_pw_7_bn/batchnorm_1/sub")
    with pytest.raises(WeightsError, match="conv_pw_7_bn"):
        FaceRes(str(write_tfjs(tmp_path, tensors))).preflight()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"weightsManifest": 3}', '{"weightsManifest": [{"paths": ["../../etc/passwd"], "weights": []}]}',
     '{"weightsManifest": [{"paths": ["gone.bin"], "weights": []}]}'],
)  # fmt: skip
def test_what_is_no_tfjs_model_is_refused(tmp_path, text):
    (tmp_path / "faceres.json").write_text(text)
    for ask in (tfjs.read, tfjs.checksum):
        with pytest.raises(WeightsError, match=r"TensorFlow\.js model"):
            ask(tmp_path / "faceres.json")


def picture(side):
    rows, columns, colours = torch.meshgrid(torch.arange(side), torch.arange(side), torch.arange(3), indexing="ij")
    return ((rows * 7 + columns * 13 + colours * 29) % 256).permute(2, 0, 1)[None].float() / 255


def embedded(plugin, side):
    name = {FaceRes: faceres.ASSET, FRFeature: fr_feature.ASSET}[type(plugin)]
    if assets.path_if_present(name) is None:
        pytest.skip(f"too large to be fetched for a test: `unveil assets {name}`")
    assert plugin.preflight() == ()
    with torch.no_grad():
        return plugin.build(2, (3, side, side), Run("x")).eval().features(picture(side))[0]


def test_faceres_gives_the_values_of_tensorflow_js():
    """Stored from TensorFlow.js 4 on its CPU backend."""
    found = embedded(FaceRes("asset"), 224)
    places = [7, 15, 16, 28, 77, 87]
    stored = [1.1420071, 0.0151749, 0.0116784, 0.0623179, 0.0101816, 0.0991298]
    torch.testing.assert_close(found[places], torch.tensor(stored), rtol=0, atol=2e-5)
    assert (found > 0).sum() == 58
    assert found.norm().item() == pytest.approx(4.1899, abs=1e-3)


def test_fr_feature_gives_the_values_of_onnx_runtime():
    """Stored from ONNX Runtime 1.32."""
    found = embedded(FRFeature("asset"), 112)
    torch.testing.assert_close(
        found[:6],
        torch.tensor([0.0440066, -0.0277981, -0.0049925, -0.0864082, -0.0368442, 0.0114673]),
        rtol=0,
        atol=1e-5,
    )


def test_they_bring_trained_weights_and_need_no_file_to_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path))
    for plugin in (FaceRes, FRFeature):
        require_weights(plugin("asset"), "it", trained=True)
        assert plugin("asset").preflight() == ()
        with pytest.raises(AssetError, match="no trained weights"):
            require_weights(plugin(), "it", trained=True)
