"""Assets from npm packages: fetched with whatever npm is on the PATH, checked, and only the member unpacked."""

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from unveil.harness.assets import fetch as assets
from unveil.harness.assets.asset import Asset, Registry, digest, sha256
from unveil.harness.words.errors import AssetError

FILES = {"package/models/a.json": b"{}", "package/models/a.bin": b"weights", "package/index.js": b"process.exit(1)"}


def write_tarball(place: Path, files: dict[str, bytes] | None = None, *more: tarfile.TarInfo) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        for name, content in (FILES if files is None else files).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return place


def offer(monkeypatch, tarball: Path, member: str = "package/models/a.*", size: int = 400, pin: str = "") -> Asset:
    inside = [("a.bin", b"weights"), ("a.json", b"{}")]
    hashes = [(name, _hash(content)) for name, content in inside]
    whole = digest(hashes) if "*" in member else _hash(b"weights")
    asset = Asset(
        "tiny", "@some/tiny-net", "1.0.0", pin or sha256(tarball), member, whole, size, "MIT", "tiny",
        registry=Registry.NPM,
    )  # fmt: skip
    monkeypatch.setattr(assets, "ASSETS", {"tiny": asset})
    return asset


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def tarball(tmp_path, monkeypatch) -> Path:
    """A package, an empty cache and nothing on the PATH."""
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return write_tarball(tmp_path / "made.tgz")


def put_npm(tmp_path: Path, script: str) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n", encoding="utf-8")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)


def test_packs_checks_and_keeps_only_the_member(tarball, tmp_path, monkeypatch):
    asset = offer(monkeypatch, tarball)
    put_npm(tmp_path, f'echo "$@" > {tmp_path}/asked; cp {tarball} some-tiny-net-1.0.0.tgz')
    found = assets.path("tiny")
    assert sorted(path.name for path in found.iterdir()) == ["a.bin", "a.json"]
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:2] == ["pack", "@some/tiny-net@1.0.0"]
    assert "--ignore-scripts" in asked
    kept = [path for path in assets.cache().rglob("*") if path.is_file()]
    assert sorted(kept) == [found / "a.bin", found / "a.json"], "no tarball, no scratch, no script"
    assert assets.status()[0].source == "npm @some/tiny-net@1.0.0"
    assert assets.checksum("tiny") == asset.package_sha256


def test_without_npm_it_says_what_to_put_where(tarball, monkeypatch):
    asset = offer(monkeypatch, tarball)
    with pytest.raises(AssetError, match="no npm here") as caught:
        assets.path("tiny")
    for part in (
        "https://registry.npmjs.org/@some/tiny-net/-/tiny-net-1.0.0.tgz",
        asset.package_sha256,
        str(assets.cache() / "assets"),
        "package/models",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["tiny-net-1.0.0.tgz", "some-tiny-net-1.0.0.tgz"])
def test_a_tarball_put_there_by_hand_is_taken_as_npm_or_a_browser_names_it(tarball, monkeypatch, name):
    offer(monkeypatch, tarball, "package/models/a.bin")
    (assets.cache() / "assets").mkdir(parents=True)
    tarball.rename(assets.cache() / "assets" / name)
    assert assets.path("tiny").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "cannot be reached"),
        ("echo 'npm ERR! code E404' >&2; exit 1", "does not have it"),
        ("echo 'npm error disk on fire' >&2; exit 7", "disk on fire"),
        ("exit 0", "no reason given"),
        ("echo nothing else > some-tiny-net-1.0.0.tgz", "another hash"),
    ],
)
def test_npm_trouble_in_one_line(tarball, tmp_path, monkeypatch, script, told):
    asset = offer(monkeypatch, tarball)
    put_npm(tmp_path, script)
    with pytest.raises(AssetError, match=told) as caught:
        assets.path("tiny")
    assert asset.package_sha256 in str(caught.value)
    assert not asset.place.exists()


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("files", "more", "told"),
    [
        ({"package/models/a.bin/../../../../evil": b"x"}, [], "unsafe path"),
        ({"package/models/a.\\..\\evil": b"x"}, [], "unsafe path"),
        ({}, [link("package/models/a.bin", tarfile.SYMTYPE)], "no plain file"),
        ({}, [link("package/models/a.bin", tarfile.LNKTYPE)], "no plain file"),
        ({}, [link("package/models/a.fifo", tarfile.FIFOTYPE)], "no plain file"),
        ({"package/models/a.bin": bytes(100_000)}, [], "more than 8 times"),
        ({"package/other": b"x"}, [], "does not hold"),
    ],
)
def test_odd_members_are_refused(tarball, tmp_path, monkeypatch, files, more, told):
    asset = offer(monkeypatch, write_tarball(tarball, files, *more))
    put_npm(tmp_path, f"cp {tarball} some-tiny-net-1.0.0.tgz")
    with pytest.raises(AssetError, match=told):
        assets.path("tiny")
    assert not asset.place.exists()
    assert not list(tmp_path.rglob("evil*"))


def test_what_is_no_archive_is_refused(tarball, tmp_path, monkeypatch):
    tarball.write_bytes(os.urandom(64))
    offer(monkeypatch, tarball)
    put_npm(tmp_path, f"cp {tarball} some-tiny-net-1.0.0.tgz")
    with pytest.raises(AssetError, match="does not hold"):
        assets.path("tiny")
    tarball.write_bytes(write_tarball(tmp_path / "whole.tgz").read_bytes()[:-40])
    offer(monkeypatch, tarball)
    with pytest.raises(AssetError, match="does not hold"):
        assets.path("tiny")
