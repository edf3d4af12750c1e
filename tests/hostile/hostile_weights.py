"""Checkpoints and networks that mean harm."""

import io
import json
import os
import pickle
import struct
import zipfile

import safetensors.torch
import torch
from hostile_cases import Runs, case, touch

from unveil.attacks.priors.pretrained_style import StyleGAN2ADA
from unveil.attacks.priors.t_acgan import TACGAN
from unveil.harness.assets import checkpoints, onnx_file, openvino_ir, stylegan2_pickle, tfjs, torchvision_ops
from unveil.harness.assets import weights as weight_files
from unveil.harness.models.facenet import FaceNet
from unveil.harness.models.faceres import FaceRes
from unveil.harness.models.fr_feature import FRFeature
from unveil.harness.models.timm import Timm
from unveil.harness.models.trained_prior import TrainedPriorElsewhere
from unveil.harness.words.errors import (
    WeightsError,
)  # fmt: skip
from unveil.harness.words.run import Run
from unveil.metrics.inception import load_inception

torchvision_ops.ensure()
import timm  # noqa: E402, F401 (loads libraries; what is watched below must not)


def saved(value: object, **how) -> bytes:
    packed = io.BytesIO()
    torch.save(value, packed, **how)
    return packed.getvalue()


def in_archive(instructions: bytes, deflated: bool = False, **files: bytes) -> bytes:
    """What torch.save writes, around another pickle."""
    out, kind = io.BytesIO(), zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", kind) as archive:
        parts = {"data.pkl": instructions, "byteorder": b"little", "version": b"3\n", **files}
        for name, data in parts.items():
            archive.writestr(f"archive/{name}", data)
    return out.getvalue()


def doubled(times: int, start: bytes = b")") -> bytes:
    """A tuple of two times the same tuple, so many times over: few bytes, and 2^times parts."""
    return start + b"".join(b"q" + bytes([k]) + b"h" + bytes([k]) + b"\x86" for k in range(times))


@case("checkpoint", "a call in a zip archive", WeightsError, "it was not opened")
def _(place):
    checkpoints.read(place.write("w.pt", saved({"w": touch(place)})))


@case("checkpoint", "a call in the older format", WeightsError, "it was not opened")
def _(place):
    checkpoints.read(place.write("w.pth", saved({"w": touch(place)}, _use_new_zipfile_serialization=False)))


@case("checkpoint", "a bare pickle called .pt, for a model that is built", WeightsError, "it was not opened")
def _(place):
    path = place.write("w.pt", pickle.dumps(touch(place)))
    FaceNet(weights=str(path)).build(2, (3, 16, 16), Run("x"))


@case("checkpoint", "a pickle that calls itself safetensors, for timm", WeightsError, "not opened")
def _(place):
    path = place.write("w.safetensors", pickle.dumps(touch(place)))
    Timm(architecture="test_efficientnet", weights=str(path)).preflight()


@case("checkpoint", "a call, as weights of facenet", WeightsError, "not opened")
def _(place):
    FaceNet(weights=str(place.write("w.pt", saved([touch(place)])))).preflight()


@case("checkpoint", "a call, as weights of FID's network", WeightsError, "not opened")
def _(place):
    load_inception(place.write("inception.pth", saved({"w": touch(place)})))


@case("checkpoint", "TorchScript with code", WeightsError, "a program, which is not run here")
def _(place):
    files = {"constants.pkl": b"\x80\x02).", "code/__torch__.py": b"def forward(self, x): return x"}
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02}.", **files)))


@case("checkpoint", "3 GB in one word", WeightsError, r"builtin\w*\.bytearray")
def _(place):
    checkpoints.read(place.write("w.pt", saved({"w": Runs(bytearray, 3 << 30)})))


@case("checkpoint", "a key that takes hours to hash", WeightsError, "nests tuples|key of type tuple")
def _(place):
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02}" + doubled(60) + b"Ns.")))


@case("checkpoint", "a set that takes hours to hash", WeightsError, r"builtin\w*\.set")
def _(place):
    called = b"c__builtin__\nset\n]" + doubled(60) + b"a\x85R"
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02" + called + b".")))


@case("checkpoint", "a tuple deeper than the machine's stack", WeightsError, "nests tuples")
def _(place):
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02})" + b"\x85" * 500_000 + b"Ns.")))


@case("checkpoint", "tables in tables, 100,000 deep", WeightsError, "no tensors by name")
def _(place):
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")))


@case("checkpoint", "a table that holds itself", WeightsError, "no tensors by name")
def _(place):
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02}q\x00X\x01\0\0\0ah\x00s.")))


@case("checkpoint", "a list of two times the same list, 60 times over", WeightsError, "no tensors by name")
def _(place):
    lists = b"]" + b"".join(b"q" + bytes([k]) + b"](h" + bytes([k]) + b"h" + bytes([k]) + b"e" for k in range(60))
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02](" + lists + b"e.")))


@case("checkpoint", "an archive that unpacks to a thousand times its size", WeightsError, "torch compresses nothing")
def _(place):
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02}.", deflated=True, **{"data/0": bytes(1 << 28)})))


@case("checkpoint", "one number shown as a trillion", WeightsError, "larger than the file")
def _(place):
    checkpoints.read(place.write("w.pt", saved({"w": torch.zeros(1).expand(1 << 40)})))


@case("checkpoint", "two pickles, one to look at and one to load", WeightsError, "cut short or damaged")
def _(place):
    evil = pickle.dumps(touch(place), 2)
    checkpoints.read(place.write("w.pt", in_archive(b"\x80\x02}.", **{"x/data.pkl": evil})))


@case("checkpoint", "the older format in front, a zip archive behind", WeightsError, "not opened")
def _(place):
    checkpoints.read(place.write("w.pt", pickle.dumps(touch(place), 2) + in_archive(b"\x80\x02}.")))


@case("checkpoint", "a pipe that nobody writes into", WeightsError, "a device or a pipe")
def _(place):
    os.mkfifo(place.root / "w.pt")
    weight_files.checksum(place.root / "w.pt")


@case("checkpoint", "a device without an end", WeightsError, "a device or a pipe")
def _(place):
    (place.root / "w.pt").symlink_to("/dev/zero")
    checkpoints.read(place.root / "w.pt")


@case("checkpoint", "a safetensors head of exabytes", WeightsError, "no known format")
def _(place):
    checkpoints.read(place.write("w.safetensors", struct.pack("<Q", 1 << 62) + b"{" + bytes(100)))


@case("checkpoint", "a safetensors head of brackets", WeightsError, "cut short or damaged")
def _(place):
    head = b'{"a":' + b"[" * 500_000
    checkpoints.read(place.write("w.safetensors", struct.pack("<Q", len(head)) + head))


@case("checkpoint", "a safetensors tensor outside its file", WeightsError, "cut short or damaged")
def _(place):
    head = json.dumps({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    checkpoints.read(place.write("w.safetensors", struct.pack("<Q", len(head)) + head + bytes(8)))


@case("checkpoint", "a running step's checkpoint that runs something", None)
def _(place):
    run = Run("x", scratch=place.root / "scratch")
    place.write("scratch/training.pt", saved({"epoch": touch(place)}))
    assert run.load("training") is None
    place.write("scratch/training.pt", in_archive(b"\x80\x02}.", deflated=True, **{"data/0": bytes(1 << 28)}))
    assert run.load("training") is None
    assert len(list(place.root.rglob("aside/**/*.pt*"))) == 2


# StyleGAN2, and networks of other programs


@case("StyleGAN2 pickle", "a call", WeightsError, "posix.system")
def _(place):
    stylegan2_pickle.convert(place.write("n.pkl", pickle.dumps({"G_ema": touch(place)})), place.root / "out")


@case("StyleGAN2 pickle", "text of 4 gigabytes in 10 bytes", WeightsError, "damaged")
def _(place):
    stylegan2_pickle.load(place.write("n.pkl", b"\x80\x04X\xff\xff\xff\xffabc."))


@case("StyleGAN2 pickle", "a pipe", WeightsError, "a device or a pipe")
def _(place):
    os.mkfifo(place.root / "n.pkl")
    stylegan2_pickle.load(place.root / "n.pkl")


@case(
    "checkpoint",
    "of a prior: one small tensor that speaks of millions of classes",
    WeightsError,
    "missing|of another shape",
)
def _(place):
    prior = TACGAN(width=2)
    state = {name: t for name, t in prior.build(2, (3, 16, 16)).state_dict().items() if "scale" not in name}
    state |= {"critic.who.weight": torch.zeros(5_000_000, 1)}
    file = place.write("gan.pt", saved(state))
    TrainedPriorElsewhere(trained_on="nobody at all", file=str(file)).restore(prior, 2, (3, 16, 16))


def style_file(place, **metadata: str) -> StyleGAN2ADA:
    path = place.root / "style.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(1)}, path, metadata)
    return StyleGAN2ADA(file=str(path), trained_on="nobody at all")


@case("StyleGAN2 pickle", "sizes of a converted file that would take petabytes", WeightsError, "no converted StyleGAN2")
def _(place):
    style_file(place, generator=json.dumps({"resolution": 8, "z_dim": 1 << 40, "w_dim": 1 << 20})).preflight()


@case("StyleGAN2 pickle", "sizes of a converted file in brackets", WeightsError, "no converted StyleGAN2")
def _(place):
    style_file(place, generator="[" * 200_000).preflight()


@case("network file", "ONNX: a length beyond the file, for fr_feature", WeightsError, "cannot be read")
def _(place):
    FRFeature(weights=str(place.write("n.onnx", b"\x3a\xff\xff\xff\xff\x7f" + bytes(20)))).preflight()


@case("network file", "ONNX: a tensor of 2^70 numbers", WeightsError, "cannot be read")
def _(place):
    tensor = b"\x08" + b"\xff" * 9 + b"\x7f" + b"\x10\x01\x42\x01a"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    onnx_file.read(place.write("n.onnx", b"\x3a" + bytes([len(graph)]) + graph))


XML = '<net><layers><layer id="0" type="Const"><data element_type="f32" shape="{shape}" offset="0" size="{size}"/>{more}</layer></layers></net>'  # noqa: E501


@case("network file", "OpenVINO: a billion laughs behind 5 kB of blanks", WeightsError, "document type")
def _(place):
    place.write("n.bin", b"")
    laughs = "".join(f'<!ENTITY a{k + 1} "{f"&a{k};" * 10}">' for k in range(12))
    text = f'<?xml version="1.0"?>{" " * 5000}<!DOCTYPE net [<!ENTITY a0 "ha">{laughs}]><net>&a12;</net>'
    openvino_ir.read(place.write("n.xml", text))


@case("network file", "OpenVINO: a file of this machine as an entity, in UTF-16", WeightsError, "cannot be read")
def _(place):
    place.write("n.bin", b"")
    text = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x SYSTEM "{place.outside}/precious.txt">]><a>&x;</a>'  # noqa: E501
    openvino_ir.read(place.write("n.xml", text.encode("utf-16")))


@case("network file", "OpenVINO: a thousand constants of the same 4 MB", WeightsError, "constants of")
def _(place):
    place.write("n.bin", bytes(4 << 20))
    one = '<layer id="{}" type="Const"><data element_type="f32" shape="1048576" offset="0" size="4194304"/></layer>'
    layers = "".join(one.format(k) for k in range(1000))
    openvino_ir.read(place.write("n.xml", f"<net><layers>{layers}</layers></net>"))


def tf_json(**group) -> str:
    return json.dumps({"weightsManifest": [{"paths": ["n.bin"], "weights": []} | group]})


@case("network file", "TensorFlow.js: weights in a file elsewhere", WeightsError, "no file beside it")
def _(place):
    FaceRes(weights=str(place.write("n.json", tf_json(paths=["../outside/precious.txt"])))).preflight()


@case("network file", "TensorFlow.js: the same 4 MB a thousand times", WeightsError, "names a file twice")
def _(place):
    place.write("n.bin", bytes(4 << 20))
    tfjs.read(place.write("n.json", tf_json(paths=["n.bin"] * 1000)))


@case("network file", "TensorFlow.js: brackets in brackets", WeightsError, "cannot be read")
def _(place):
    tfjs.read(place.write("n.json", "[" * 500_000))
