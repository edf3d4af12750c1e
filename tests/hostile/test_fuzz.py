"""Whatever bytes a parser is given, it answers or raises one of the project's own errors."""

import io
import json
import pickle
import struct
import tarfile
import tempfile
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from unveil.harness.assets import (
    checkpoints,
    fetch,
    onnx_file,
    openvino_ir,
    stylegan2_pickle,
    tfjs,
    torch_pickle,
)
from unveil.harness.assets.asset import Asset, Registry
from unveil.harness.assets.inert_pickle import Reader
from unveil.harness.data import facescrub, images, lfw, table, wordlist
from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.plan import file as plans
from unveil.harness.plan.given import Given, joined
from unveil.harness.running.reports import Reports
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run
from unveil.leaderboard.page import render
from unveil.metrics import answer_sheet

KEY = "a" * 64


def saved(**how) -> bytes:
    packed = io.BytesIO()
    torch.save({"state": OrderedDict(w=torch.zeros(2, 3), n=torch.tensor(3)), "epoch": 3, "loss": [0.5]}, packed, **how)
    return packed.getvalue()


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def tarball() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/a.bin")
        info.size = 7
        archive.addfile(info, io.BytesIO(b"weights"))
    return out.getvalue()


def wheel() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/a.bin", b"weights" * 9)
    return out.getvalue()


def field(key: int, data: bytes) -> bytes:
    return bytes([key << 3 | 2, len(data)]) + data


ONNX = field(
    7,
    field(1, field(1, b"w") + field(4, b"Conv")) + field(5, b"\x08\x02\x10\x01" + field(8, b"w") + field(9, bytes(8))),
)
XML = (
    b'<net><layers><layer id="0" type="Const"><data element_type="f32" shape="2" offset="0" size="8"/></layer>'
    b'<layer id="1" type="MatMul"/></layers><edges><edge from-layer="0" to-layer="1" to-port="0"/></edges></net>'
)
WEIGHTS = {"name": "w", "shape": [2], "dtype": "float32"}
TFJS = json.dumps({"weightsManifest": [{"paths": ["file.bin"], "weights": [WEIGHTS]}]}).encode()
PLAN = b"""title = "T"
defenses = [{ use = "ls", alpha = -0.1 }]
recipe = { epochs = 2, lr = 1e-3 }
[data]
use = "people"
[target]
use = "small_resnet"
[[attacks]]
use = "random_latents"
prior = { use = "wgan_gp", steps = 20 }
[[metrics]]
use = "utility"
"""


def parts(results: Results) -> bytes:
    return results.model_dump_json().encode()


FIGURE = Figure(metric="m", column="c", unit="share", direction="higher leaks more", range=(0, 1), value=0.5)
ROW = Row(data="d", model="m", defense="x", attack="a", seed=0, status="done", figures=(FIGURE,))
RESULTS = Results(title="T", plan="p", rows=(ROW,))


def read_style(path: Path) -> None:
    stylegan2_pickle.convert(path, path.with_name("out.safetensors"))


def read_storage(path: Path) -> None:
    stylegan2_pickle.legacy_storage(path.read_bytes())


def read_inert(path: Path) -> None:
    Reader({"collections.OrderedDict": lambda _: {}}, persistent=lambda _: 0).read(io.BytesIO(path.read_bytes()))


def read_look(path: Path) -> None:
    torch_pickle._Follower().read(io.BytesIO(path.read_bytes()))


def read_tfjs(path: Path) -> None:
    path.with_name("file.bin").write_bytes(bytes(8))
    tfjs.checksum(path)
    tfjs.read(path)


def read_openvino(path: Path) -> None:
    path.with_suffix(".bin").write_bytes(bytes(8))
    openvino_ir.read(path)


def unpack(registry: Registry, member: str):
    def read(path: Path) -> None:
        asset = Asset("tiny", "tiny", "1", "", member, "", 100, "MIT", "tiny", registry=registry)
        with tempfile.TemporaryDirectory(dir=path.parent) as into:
            fetch._carrier(asset).unpack(asset, path, Path(into))

    return read


def read_manifest(path: Path) -> None:
    store = Store(str(path.parent / "store"))
    (path.parent / "store/artefacts").mkdir(parents=True, exist_ok=True)
    (path.parent / f"store/artefacts/{KEY}.json").write_bytes(path.read_bytes())
    store.usable(KEY)
    store.load(KEY)


def manifest() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Store(folder).save(KEY, Artefact({"x": 1}, provenance={"seconds": 1.0}))
        return Path(folder, f"artefacts/{KEY}.json").read_bytes()


def read_results(path: Path) -> None:
    folder = path.parent / "store/reports/p"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_bytes(path.read_bytes())
    render(Reports(Store(str(path.parent / "store")), "p").read("reports/p", "run it"))


def read_picture(path: Path) -> None:
    images.decode([path], size=16, channels=3, crop=True, run=Run("x"))


def read_identities(path: Path) -> None:
    wordlist.numbers(path, wordlist.read(path, 2))


SCRUBBED = b"name\timage_id\tface_id\turl\tbbox\tsha256\nAnn Lee\t1\t7\thttp://x/a.jpg\t1,2,30,40\t" + b"0" * 64 + b"\n"
STYLE = pickle.dumps({"G_ema": {"a": [1, 2.5, (None, True)], "b": b"xyz"}}, 4)
STORAGE = b"".join(
    [
        pickle.dumps(stylegan2_pickle.LEGACY_MAGIC, 2),
        pickle.dumps(1001, 2),
        pickle.dumps({"little_endian": True}, 2),
        b"\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x007X\x03\0\0\0cpuK\x02NtQ.",
        pickle.dumps(["7"], 2),
        struct.pack("<q", 2) + bytes(8),
    ]
)
CONTAINERS = pickle.dumps(OrderedDict(a=[1, 2.5, (None, True)], b=b"xyz", c={"d": "e"}), 4)
ARCHIVED = zipfile.ZipFile(io.BytesIO(saved())).read("archive/data.pkl")
AS_RUN = Given(("seeds=[3]", "data.size=32"), {"UNVEIL_FACES": "/data/faces"})
PARSERS = {
    "checkpoint": (checkpoints.read, saved()),
    "older checkpoint": (checkpoints.read, saved(_use_new_zipfile_serialization=False)),
    "safetensors": (checkpoints.read, safetensors.torch.save({"w": torch.zeros(2, 3)})),
    "look at a pickle": (read_look, ARCHIVED),
    "inert pickle": (read_inert, CONTAINERS),
    "StyleGAN2": (read_style, STYLE),
    "storage": (read_storage, STORAGE),
    "ONNX": (onnx_file.read, ONNX),
    "OpenVINO": (read_openvino, XML),
    "TensorFlow.js": (read_tfjs, TFJS),
    "tarball": (unpack(Registry.NPM, "package/*.bin"), tarball()),
    "wheel": (unpack(Registry.PYPI, "tiny/*.bin"), wheel()),
    "plan": (lambda path: plans.read(str(path)), PLAN),
    "plan as run": (lambda path: plans.read(str(path)), joined(AS_RUN, PLAN.decode()).encode()),
    "labels": (lambda path: table.read(path, "file"), b"file,person\na.png,ann\nb.png,bob\n"),
    "identities": (read_identities, b"000001.jpg 2880\n000002.jpg 12\n"),
    "FaceScrub": (lambda path: facescrub.read_list(path, "faces"), SCRUBBED),
    "pairs": (lambda path: list(lfw.paired(path)), b"1\t1\nAnn_Lee\t1\t2\nAnn_Lee\t3\tBob_Lee\t1\n"),
    "answers": (answer_sheet.read, b"question,same person\r\n0001,yes\r\n0002,\r\n"),
    "manifest": (read_manifest, manifest()),
    "results": (read_results, parts(RESULTS)),
    "PNG": (read_picture, picture("PNG")),
    "JPEG": (read_picture, picture("JPEG")),
    "GIF": (read_picture, picture("GIF")),
    "TIFF": (read_picture, picture("TIFF")),
}
SPICES = [
    b"\0",
    b"\xff" * 8,
    b"[" * 300,
    b"{" * 300,
    b"9" * 5000,
    b"-1",
    b"NaN",
    b"Infinity",
    b"1e999",
    b"\n",
    b'"',
    b"<!",
    b"..",
    b"/",
]


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """A valid file with a few bytes changed, cut out, doubled or put in; now and then bytes of no meaning."""
    data = whole
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        until = min(len(data), at + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["change", "cut", "end", "double", "spice", "noise", "number"]))
        if kind == "number":  # sizes and offsets are numbers
            new = draw(st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])).to_bytes(8, "little")
            data = data[:at] + new[: max(1, until - at)] + data[until:]
        elif kind == "change":
            data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
        else:
            put = {"cut": b"", "end": b"", "double": data[at:until] * 2, "spice": draw(st.sampled_from(SPICES))}
            new = put[kind] if kind in put else draw(st.binary(max_size=20))
            data = data[:at] + new + (b"" if kind == "end" else data[until:])
    return data


def fuzz(name: str, examples: int) -> None:
    parse, whole = PARSERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.xml" if name == "OpenVINO" else "file.json" if name == "TensorFlow.js" else "file")

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(damaged(whole))
        def property_(data: bytes) -> None:
            path.write_bytes(data)
            with suppress(UnveilError):
                parse(path)

        property_()


@pytest.mark.parametrize("name", [n for n in PARSERS if n not in ("StyleGAN2", "storage", "ONNX", "labels")])
def test_every_parser_takes_what_it_is_for(name, tmp_path):
    """Without this the others would prove nothing: a parser that refuses all is safe, too."""
    parse, whole = PARSERS[name]
    path = tmp_path / {"OpenVINO": "file.xml", "TensorFlow.js": "file.json"}.get(name, "file")
    path.write_bytes(whole)
    parse(path)


@pytest.mark.parametrize("name", PARSERS)
def test_damage_ends_in_words(name, place, watched):
    with watched():
        fuzz(name, 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_much_damage_ends_in_words(name):
    fuzz(name, 1000)
